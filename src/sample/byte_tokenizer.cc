#include "sample/byte_tokenizer.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"

namespace octavo {
namespace {

constexpr int64_t kFirstByteId = 3, kEndOfSequence = 1;

// Bytes of the well-formed character at `at`, or 0.
size_t utf8_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (text.size() - at < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second > 0x9F;
  const bool beyond_unicode = lead == 0xF4 && second > 0x8F;
  return overlong || surrogate || beyond_unicode ? 0 : length;
}

void check_prompt(const std::string& prompt, size_t index) {
  OCTAVO_CHECK(prompt.size() <= kMaxPromptBytes,
               "prompt {} has {} bytes; at most {} are accepted (is it a prompt file?)", index + 1,
               prompt.size(), kMaxPromptBytes);
  const size_t invalid = find_invalid_utf8(prompt);
  OCTAVO_CHECK(invalid == std::string_view::npos,
               "prompt {} is not valid UTF-8: byte 0x{:02x} at offset {}; convert it to UTF-8",
               index + 1, static_cast<unsigned char>(prompt[invalid]), invalid);
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

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
