#pragma once
// Which names stand bare in the text form, for printer and parser alike. Private to this floor.
#include <cctype>
#include <string_view>

namespace octavo::text {

inline bool is_name_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_';
}

// ':' belongs to a name only before a digit ("x:1"), so that "x: f32" needs no quotes.
inline bool is_name_part(std::string_view text, size_t at) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const char c = text[at];
  if (c == ':') return at + 1 < text.size() && digit(text[at + 1]);
  return is_name_start(c) || digit(c) || c == '.' || c == '#' || c == '/' || c == '-';
}

inline bool is_keyword(std::string_view name) {
  return name == "input" || name == "const" || name == "output" || name == "_";
}

inline bool is_bare_name(std::string_view name) {
  if (name.empty() || !is_name_start(name[0]) || is_keyword(name)) return false;
  for (size_t i = 1; i < name.size(); ++i) {
    if (!is_name_part(name, i)) return false;
  }
  return true;
}

}  // namespace octavo::text
