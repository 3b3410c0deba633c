#pragma once
#include <string_view>

namespace octavo {

// Whether the whole text matches the pattern: '*' stands for any characters ('.' and '/' too), '?'
// for exactly one byte, everything else for itself. Time is at most |pattern| x |text|.
bool glob_match(std::string_view pattern, std::string_view text);

}  // namespace octavo
