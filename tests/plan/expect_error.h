#pragma once
#include <gmock/gmock.h>

#include <initializer_list>
#include <string>

#include "support.h"

namespace octavo::test {

// `body` throws Error of this code, and its message holds every one of `parts`.
template <class F>
void expect_error(ErrorCode code, std::initializer_list<std::string> parts, F&& body) {
  const Error error = error_of(body);
  EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
  for (const std::string& part : parts) EXPECT_THAT(error.what(), testing::HasSubstr(part));
}

}  // namespace octavo::test
