#pragma once
// Contract checks. OCTAVO_CHECK is for whatever a user or a file can cause and throws octavo::Error
// with values in the message; OCTAVO_ASSERT is for our own bugs.
#include <fmt/format.h>

#include "octavo/error.h"

namespace octavo {
[[noreturn]] void throw_error(ErrorCode code, const std::string& message);
[[noreturn]] void throw_assert(const char* condition, const char* file, int line);
}  // namespace octavo

#define OCTAVO_FAIL(code_, ...) \
  ::octavo::throw_error(::octavo::ErrorCode::code_, ::fmt::format(__VA_ARGS__))
#define OCTAVO_CHECK_CODE(code_, condition_, ...)       \
  do {                                                  \
    if (!(condition_)) OCTAVO_FAIL(code_, __VA_ARGS__); \
  } while (0)
#define OCTAVO_CHECK(condition_, ...) OCTAVO_CHECK_CODE(invalid_argument, condition_, __VA_ARGS__)
#define OCTAVO_CHECK_FILE(condition_, ...) OCTAVO_CHECK_CODE(bad_file, condition_, __VA_ARGS__)
#define OCTAVO_ASSERT(condition_)                                               \
  do {                                                                          \
    if (!(condition_)) ::octavo::throw_assert(#condition_, __FILE__, __LINE__); \
  } while (0)
