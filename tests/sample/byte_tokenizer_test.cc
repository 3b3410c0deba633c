#include "sample/byte_tokenizer.h"

#include "base/log.h"
#include "plan/expect_error.h"

namespace octavo {
namespace {

using test::expect_error;

std::vector<int64_t> row(const ByteTokens& tokens, int64_t i) {
  const int64_t length = tokens.ids.dim(1);
  const int64_t* begin = tokens.ids.as<int64_t>() + i * length;
  return {begin, begin + length};
}

TEST(ByteTokenizer, BytesPlusThreeThenEnd) {
  const ByteTokens tokens = tokenize_bytes({"ab", "", "\xC3\xA9!"}, 6);
  EXPECT_EQ(tokens.ids.dtype(), DType::i64);
  EXPECT_EQ(tokens.ids.shape(), (Shape{3, 6}));
  EXPECT_EQ(row(tokens, 0), (std::vector<int64_t>{100, 101, 1, 0, 0, 0}));
  EXPECT_EQ(row(tokens, 1), (std::vector<int64_t>{1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row(tokens, 2), (std::vector<int64_t>{0xC6, 0xAC, 36, 1, 0, 0}));
  EXPECT_EQ(tokens.lengths, (std::vector<int64_t>{3, 1, 4}));
}

TEST(ByteTokenizer, LongPromptsAreCutWithAWarning) {
  set_log_level(LogLevel::warning);
  testing::internal::CaptureStderr();
  const ByteTokens fits = tokenize_bytes({"abc"}, 4);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(row(fits, 0), (std::vector<int64_t>{100, 101, 102, 1}));

  testing::internal::CaptureStderr();
  const ByteTokens cut = tokenize_bytes({"x", "abcd"}, 4);
  const std::string warning = testing::internal::GetCapturedStderr();
  EXPECT_NE(warning.find("prompt 2 has 4 bytes; the model reads the first 3"), std::string::npos)
      << warning;
  EXPECT_EQ(row(cut, 1), (std::vector<int64_t>{100, 101, 102, 1}));
}

TEST(ByteTokenizer, RefusesInvalidUtf8AndGiants) {
  expect_error(ErrorCode::invalid_argument, {"prompt 2", "UTF-8", "ab\\xff"}, [] {
    tokenize_bytes({"fine", "ab\xFF"}, 8);
  });
  expect_error(ErrorCode::invalid_argument, {"prompt 1", "1048577 bytes", "1048576"},
               [] { tokenize_bytes({std::string(kMaxPromptBytes + 1, 'a')}, 8); });
  set_log_level(LogLevel::quiet);
  EXPECT_NO_THROW(tokenize_bytes({std::string(kMaxPromptBytes, 'a')}, 8));
}

}  // namespace
}  // namespace octavo
