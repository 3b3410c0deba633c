// Text form of dimensions:
//   sum     = ["-"] product (("+" | "-") product)*
//   product = factor ("*" factor)*
//   factor  = integer | symbol | "(" sum ")" | "floor(" factor "/" integer ")"
#include <cctype>
#include <charconv>

#include "base/check.h"
#include "graph/dim.h"

namespace octavo {
namespace {

constexpr int kMaxDepth = 48;

class DimParser {
 public:
  explicit DimParser(std::string_view text) : text_(text) {}

  Dim parse() {
    const Dim dim = sum();
    if (at_ < text_.size()) fail("an operator or the end");
    return dim;
  }

 private:
  Dim sum() {
    if (++depth_ > kMaxDepth) fail("fewer nested parentheses");
    Dim total = take('-') ? Dim(0) - product() : product();
    for (;;) {
      if (take('+')) {
        total = total + product();
      } else if (take('-')) {
        total = total - product();
      } else {
        --depth_;
        return total;
      }
    }
  }

  Dim product() {
    Dim total = factor();
    while (take('*')) total = total * factor();
    return total;
  }

  Dim factor() {
    skip_spaces();
    if (take('(')) {
      const Dim inner = sum();
      expect(')');
      return inner;
    }
    if (at_ < text_.size() && is_digit(text_[at_])) return integer();
    const size_t begin = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (name.empty()) fail("a number, a symbol or '('");
    return name == "floor" ? quotient() : Dim::symbol(name);
  }

  Dim quotient() {
    if (++depth_ > kMaxDepth) fail("fewer nested parentheses");
    expect('(');
    const Dim numerator = factor();
    expect('/');
    skip_spaces();
    if (at_ == text_.size() || !is_digit(text_[at_])) fail("a number");
    const int64_t denominator = integer();
    if (denominator == 0) fail("a divisor above 0");
    expect(')');
    --depth_;
    return floor_div(numerator, denominator);
  }

  int64_t integer() {
    int64_t value = 0;
    const char* end = text_.data() + text_.size();
    const auto [stop, status] = std::from_chars(text_.data() + at_, end, value);
    if (status != std::errc()) fail("a number that fits into 64 bits");
    at_ = static_cast<size_t>(stop - text_.data());
    return value;
  }

  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    skip_spaces();
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(fmt::format("'{}'", c));
  }
  [[noreturn]] void fail(const std::string& expected) const {
    OCTAVO_FAIL(invalid_argument, "dimension '{}': expected {} at position {}",
                text_.substr(0, 200), expected, at_ + 1);
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Dim Dim::parse(std::string_view text) { return DimParser(text).parse(); }

std::string Dim::text() const {
  std::string out;
  const auto append = [&out](int64_t coefficient, const std::string& factors) {
    const bool negative = coefficient < 0;
    out += out.empty() ? (negative ? "-" : "") : (negative ? " - " : " + ");
    // Unsigned, since -INT64_MIN does not exist.
    const uint64_t magnitude =
        negative ? 0 - static_cast<uint64_t>(coefficient) : static_cast<uint64_t>(coefficient);
    if (factors.empty()) {
      out += std::to_string(magnitude);
    } else {
      out += magnitude == 1 ? factors : fmt::format("{}*{}", magnitude, factors);
    }
  };
  for (const auto& [monomial, coefficient] : terms_) {
    append(coefficient, fmt::format("{}", fmt::join(monomial, "*")));
  }
  if (constant_ != 0 || terms_.empty()) append(constant_, "");
  return out;
}

}  // namespace octavo
