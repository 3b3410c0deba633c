#include "sample/byte_tokenizer.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"

namespace octavo {
namespace {

constexpr int64_t kFirstByteId = 3, kEndOfSequence = 1;

void check_prompt(const std::string& prompt, size_t index) {
  OCTAVO_CHECK(prompt.size() <= kMaxPromptBytes,
               "prompt {} has {} bytes; at most {} are accepted (is it a prompt file?)", index + 1,
               prompt.size(), kMaxPromptBytes);
  OCTAVO_CHECK(valid_utf8(prompt), "prompt {} is not valid UTF-8: \"{}\"; convert it to UTF-8",
               index + 1, printable(prompt));
}

}  // namespace

ByteTokens tokenize_bytes(const std::vector<std::string>& prompts, int64_t max_length) {
  OCTAVO_CHECK(max_length >= 1, "text: max_length is {}, expected at least 1", max_length);
  const auto rows = static_cast<int64_t>(prompts.size());
  ByteTokens tokens{Tensor::zeros(DType::i64, {rows, max_length}), {}};
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::string& prompt = prompts[i];
    check_prompt(prompt, i);
    const auto room = static_cast<size_t>(max_length - 1);
    if (prompt.size() > room) {
      log_warning("prompt {} has {} bytes; the model reads the first {}", i + 1, prompt.size(),
                  room);
    }
    const size_t bytes = std::min(prompt.size(), room);
    int64_t* row = tokens.ids.as_mutable<int64_t>() + static_cast<int64_t>(i) * max_length;
    for (size_t b = 0; b < bytes; ++b)
      row[b] = static_cast<unsigned char>(prompt[b]) + kFirstByteId;
    row[bytes] = kEndOfSequence;
    tokens.lengths.push_back(static_cast<int64_t>(bytes) + 1);
  }
  return tokens;
}

}  // namespace octavo
