#pragma once
// Reads the tokens of the text form. Every failure is Error{invalid_argument}
// "where:line:column: ...". Private to this floor.
#include <string>
#include <string_view>

namespace octavo::text {

class Lexer {
 public:
  Lexer(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  bool at_end();
  bool peek(char c);  // after spaces and comments ("// to the end of the line")
  bool take(char c);
  void expect(char c);
  bool peek_bare();                           // a bare name or keyword comes next
  std::string bare();                         // as it is, keywords included
  std::string name();                         // bare (no keyword) or quoted
  std::string quoted();                       // "..." with \" \\ and \xNN
  std::string until(std::string_view stops);  // raw text up to one of `stops` on the same line
  bool take_keyword(std::string_view word);   // if the next bare word is this one

  size_t position();  // of the next token
  [[noreturn]] void fail(size_t position, const std::string& message) const;
  [[noreturn]] void fail(const std::string& message) { fail(position(), message); }

 private:
  void skip();
  unsigned char hex_byte();

  std::string_view text_, where_;
  size_t at_ = 0;
};

}  // namespace octavo::text
