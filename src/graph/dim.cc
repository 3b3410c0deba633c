#include "graph/dim.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace octavo {
namespace {

// Bounds on one expression, far above what a model needs: text from outside cannot make the
// algebra explode.
constexpr size_t kMaxTerms = 512, kMaxDegree = 32, kMaxAtom = 4096;
constexpr std::string_view kFloor = "floor(";

[[noreturn]] void fail_overflow() {
  OCTAVO_FAIL(invalid_argument, "a dimension's coefficient does not fit into 64 bits");
}
int64_t checked_add(int64_t a, int64_t b) {
  int64_t sum;
  // The one number without a negative is refused too, so that every text form can be read back.
  if (__builtin_add_overflow(a, b, &sum) || sum == INT64_MIN) fail_overflow();
  return sum;
}
int64_t checked_multiply(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_mul_overflow(a, b, &result) || result == INT64_MIN) fail_overflow();
  return result;
}
int64_t floor_quotient(int64_t a, int64_t k) { return a / k - (a % k < 0 ? 1 : 0); }
int64_t floor_remainder(int64_t a, int64_t k) { return a % k < 0 ? a % k + k : a % k; }

bool is_floor(std::string_view atom) { return atom.starts_with(kFloor); }
bool is_name_start(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; }
bool is_name_part(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }

struct Quotient {
  Dim numerator;
  int64_t denominator;
};
// Takes "floor(N/k)" apart.
Quotient split_floor(std::string_view atom) {
  const size_t slash = atom.rfind('/');
  OCTAVO_ASSERT(is_floor(atom) && slash != std::string_view::npos && atom.back() == ')');
  return {Dim::parse(atom.substr(kFloor.size(), slash - kFloor.size())),
          std::stoll(std::string(atom.substr(slash + 1)))};
}

}  // namespace

Dim::Dim(int64_t value) : constant_(checked_add(value, 0)) {}

Dim Dim::symbol(std::string_view name) {
  const bool valid = !name.empty() && name.size() <= 256 && is_name_start(name.front()) &&
                     std::all_of(name.begin(), name.end(), is_name_part);
  OCTAVO_CHECK(valid && name != "floor", "'{}' is not a dimension's name (letters, digits, _)",
               name);
  return atom(std::string(name));
}

Dim Dim::atom(std::string text) {
  OCTAVO_CHECK(text.size() <= kMaxAtom, "a dimension's expression is longer than {} characters",
               kMaxAtom);
  Dim dim;
  dim.terms_[{std::move(text)}] = 1;
  return dim;
}

int64_t Dim::value() const {
  OCTAVO_CHECK_CODE(internal, is_constant(), "dimension {} is not a number", text());
  return constant_;
}

int64_t Dim::eval(const Bindings& bindings) const {
  const Dim result = substitute(bindings);
  if (!result.is_constant()) {
    std::vector<std::string> unbound;
    result.collect_symbols(unbound);
    OCTAVO_FAIL(invalid_argument, "no extent is given for symbol {} of dimension {}",
                unbound.front(), text());
  }
  return result.constant_;
}

Dim Dim::substitute(const Bindings& bindings) const {
  Dim result(constant_);
  for (const auto& [monomial, coefficient] : terms_) {
    Dim term(coefficient);
    for (const std::string& factor : monomial) {
      if (is_floor(factor)) {
        const Quotient q = split_floor(factor);
        term = term * floor_div(q.numerator.substitute(bindings), q.denominator);
      } else {
        const auto bound = bindings.find(factor);
        term = term * (bound != bindings.end() ? Dim(bound->second) : atom(factor));
      }
    }
    result = result + term;
  }
  return result;
}

void Dim::collect_symbols(std::vector<std::string>& out) const {
  for (const auto& [monomial, coefficient] : terms_) {
    for (const std::string& factor : monomial) {
      if (is_floor(factor)) {
        split_floor(factor).numerator.collect_symbols(out);
      } else if (std::find(out.begin(), out.end(), factor) == out.end()) {
        out.push_back(factor);
      }
    }
  }
}

void Dim::add_term(const Monomial& monomial, int64_t coefficient) {
  if (monomial.empty()) {
    constant_ = checked_add(constant_, coefficient);
    return;
  }
  const auto [at, inserted] = terms_.try_emplace(monomial, coefficient);
  if (!inserted) at->second = checked_add(at->second, coefficient);
  if (at->second == 0) terms_.erase(at);
  OCTAVO_CHECK(terms_.size() <= kMaxTerms, "a dimension has more than {} terms", kMaxTerms);
}

Dim operator+(const Dim& a, const Dim& b) {
  Dim sum = a;
  sum.add_term({}, b.constant_);
  for (const auto& [monomial, coefficient] : b.terms_) sum.add_term(monomial, coefficient);
  return sum;
}

Dim operator-(const Dim& a, const Dim& b) { return a + Dim(-1) * b; }

Dim operator*(const Dim& a, const Dim& b) {
  Dim result(checked_multiply(a.constant_, b.constant_));
  if (a.constant_ != 0) {
    for (const auto& [m, c] : b.terms_) result.add_term(m, checked_multiply(c, a.constant_));
  }
  for (const auto& [m, c] : a.terms_) {
    if (b.constant_ != 0) result.add_term(m, checked_multiply(c, b.constant_));
    for (const auto& [n, d] : b.terms_) {
      OCTAVO_CHECK(m.size() + n.size() <= kMaxDegree, "a dimension has more than {} factors",
                   kMaxDegree);
      Dim::Monomial merged;
      std::merge(m.begin(), m.end(), n.begin(), n.end(), std::back_inserter(merged));
      result.add_term(merged, checked_multiply(c, d));
    }
  }
  return result;
}

bool operator==(const Dim& a, const Dim& b) {
  return a.constant_ == b.constant_ && a.terms_ == b.terms_;
}

// Canonical form, with every coefficient c = k q + r, 0 <= r < k:
//   floor(a / k)                     = sum of q terms + floor(sum of r terms / k)
//   floor((g p + c) / (g k))         = floor((p + floor(c / g)) / k)
//   floor((floor(x / j) + c) / k)    = floor((x + j c) / (j k))
Dim floor_div(const Dim& a, int64_t k) {
  OCTAVO_CHECK(k > 0, "dimension {} is divided by {}; the divisor must be positive", a.text(), k);
  Dim whole, rest;
  int64_t divisor = k;
  for (const auto& [monomial, coefficient] : a.terms_) {
    const int64_t q = floor_quotient(coefficient, k), r = floor_remainder(coefficient, k);
    if (q != 0) whole.add_term(monomial, q);
    if (r != 0) rest.add_term(monomial, r);
    divisor = std::gcd(divisor, r);
  }
  whole.constant_ = floor_quotient(a.constant_, k);
  if (rest.is_constant()) return whole;
  for (auto& [monomial, coefficient] : rest.terms_) coefficient /= divisor;
  rest.constant_ = floor_remainder(a.constant_, k) / divisor;
  const int64_t denominator = k / divisor;
  const auto& [monomial, coefficient] = *rest.terms_.begin();
  if (rest.terms_.size() == 1 && coefficient == 1 && monomial.size() == 1 &&
      is_floor(monomial.front())) {
    const Quotient inner = split_floor(monomial.front());
    return whole + floor_div(inner.numerator + Dim(inner.denominator) * Dim(rest.constant_),
                             checked_multiply(inner.denominator, denominator));
  }
  std::string numerator = rest.text();
  const bool bare = std::all_of(numerator.begin(), numerator.end(), is_name_part);
  if (!bare) numerator = fmt::format("({})", numerator);
  return whole + Dim::atom(fmt::format("floor({}/{})", numerator, denominator));
}

std::string to_string(const SymShape& shape) {
  std::string text = "[";
  for (const Dim& dim : shape) {
    if (text.size() > 1) text += ", ";
    text += dim.text();
  }
  return text + "]";
}

SymShape symbolic(const Shape& shape) { return SymShape(shape.begin(), shape.end()); }

Shape evaluate(const SymShape& shape, const Bindings& bindings) {
  Shape result;
  for (const Dim& dim : shape) {
    result.push_back(dim.eval(bindings));
    OCTAVO_CHECK(result.back() >= 0, "dimension {} of shape {} becomes {}", dim.text(),
                 to_string(shape), result.back());
  }
  return result;
}

Dim product(const SymShape& shape) {
  Dim result(1);
  for (const Dim& dim : shape) result = result * dim;
  return result;
}

bool is_constant(const SymShape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_constant(); });
}

}  // namespace octavo
