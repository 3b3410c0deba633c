#pragma once
// Text as UTF-8 bytes (ByT5): id = byte + 3, then end-of-sequence 1, padding 0.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace octavo {

inline constexpr size_t kMaxPromptBytes = size_t{1} << 20;

struct ByteTokens {
  Tensor ids;                    // i64 [prompts, max_length]
  std::vector<int64_t> lengths;  // real positions of each row, end of sequence included
};

// Prompts of more than max_length - 1 bytes are cut there, with a warning. Error names the prompt's
// number and the byte offset of invalid UTF-8, or the size of a prompt above kMaxPromptBytes.
ByteTokens tokenize_bytes(const std::vector<std::string>& prompts, int64_t max_length);

// Offset of the first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7), or npos.
size_t find_invalid_utf8(std::string_view text);

}  // namespace octavo
