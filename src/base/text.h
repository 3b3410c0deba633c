#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace octavo {

// Well-formed UTF-8: no stray or missing continuation bytes, overlong forms, surrogates, or code
// points above U+10FFFF.
bool valid_utf8(std::string_view text);

// Text of a file or user as it may stand in a message: control characters and bytes that are not
// UTF-8 as \xNN, and at most about `limit` bytes of it.
std::string printable(std::string_view text, size_t limit = 120);

}  // namespace octavo
