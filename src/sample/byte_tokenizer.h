#pragma once
// Text as UTF-8 bytes (ByT5): id = byte + 3, then end-of-sequence 1, padding 0.
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace octavo {

inline constexpr size_t kMaxPromptBytes = size_t{1} << 20;

struct ByteTokens {
  Tensor ids;                    // i64 [prompts, max_length]
  std::vector<int64_t> lengths;  // real positions of each row, end of sequence included
};

// Prompts of more than max_length - 1 bytes are cut there, with a warning. Error names the number
// of a prompt that is not UTF-8, or that is longer than kMaxPromptBytes.
ByteTokens tokenize_bytes(const std::vector<std::string>& prompts, int64_t max_length);

}  // namespace octavo
