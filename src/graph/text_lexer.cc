#include "graph/text_lexer.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/text.h"
#include "graph/text_names.h"

namespace octavo::text {
namespace {

constexpr size_t kMaxMessage = 800;  // names in a hostile text may be of any length

}  // namespace

void Lexer::skip() {
  for (;;) {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    if (text_.substr(at_, 2) != "//") return;
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }
}

size_t Lexer::position() {
  skip();
  return at_;
}

bool Lexer::at_end() { return position() == text_.size(); }
bool Lexer::peek(char c) { return !at_end() && text_[at_] == c; }

bool Lexer::take(char c) {
  if (!peek(c)) return false;
  ++at_;
  return true;
}

void Lexer::expect(char c) {
  if (!take(c)) fail(fmt::format("expected '{}'", c));
}

bool Lexer::peek_bare() { return !at_end() && is_name_start(text_[at_]); }

std::string Lexer::bare() {
  if (!peek_bare()) fail("expected a name");
  const size_t begin = at_++;
  while (at_ < text_.size() && is_name_part(text_, at_)) ++at_;
  return std::string(text_.substr(begin, at_ - begin));
}

bool Lexer::take_keyword(std::string_view word) {
  if (!peek_bare()) return false;
  const size_t begin = at_;
  if (bare() == word) return true;
  at_ = begin;
  return false;
}

std::string Lexer::name() {
  if (peek('"')) return quoted();
  const size_t begin = position();
  std::string result = bare();
  if (is_keyword(result)) fail(begin, fmt::format("'{}' as a name must stand in quotes", result));
  return result;
}

std::string Lexer::quoted() {
  const size_t begin = position();
  expect('"');
  std::string out;
  while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\n') {
    char c = text_[at_++];
    if (c == '\\' && at_ < text_.size()) {
      c = text_[at_++];
      if (c == 'x') {
        c = static_cast<char>(hex_byte());
      } else if (c != '"' && c != '\\') {
        fail(at_ - 2, "unknown escape; known are \\\" \\\\ \\xNN");
      }
    }
    out += c;
  }
  if (at_ == text_.size() || text_[at_] != '"') fail(begin, "a text without its closing quote");
  ++at_;
  return out;
}

unsigned char Lexer::hex_byte() {
  unsigned char byte = 0;
  const char* begin = text_.data() + at_;
  const char* end = begin + std::min<size_t>(2, text_.size() - at_);
  const auto [stop, status] = std::from_chars(begin, end, byte, 16);
  if (status != std::errc() || stop != begin + 2) fail(at_, "expected two hexadecimal digits");
  at_ += 2;
  return byte;
}

std::string Lexer::until(std::string_view stops) {
  const size_t begin = position();
  const size_t end = std::min(text_.find_first_of(stops, begin), text_.find('\n', begin));
  if (end == std::string_view::npos || text_[end] == '\n') {
    fail(begin, fmt::format("expected one of '{}' before the end of the line", stops));
  }
  at_ = end;
  std::string_view raw = text_.substr(begin, end - begin);
  while (!raw.empty() && std::isspace(static_cast<unsigned char>(raw.back()))) raw.remove_suffix(1);
  return std::string(raw);
}

void Lexer::fail(size_t position, const std::string& message) const {
  const std::string_view before = text_.substr(0, position);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
  OCTAVO_FAIL(invalid_argument, "{}:{}:{}: {}", where_, line, position - start + 1,
              printable(message, kMaxMessage));
}

}  // namespace octavo::text
