#pragma once
// Symbolic extents. A Dim is an integer polynomial over symbols ("B", "S") and floor quotients of
// polynomials, kept in one canonical form, so that equal expressions compare equal. Text form:
// "B", "64", "S + T", "4*H*W", "floor((H + 1)/2)".
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace octavo {

using Bindings = std::map<std::string, int64_t>;  // symbol -> extent

class Dim {
 public:
  Dim(int64_t value = 0);  // NOLINT(google-explicit-constructor): a number is a Dim
  static Dim symbol(std::string_view name);
  static Dim parse(std::string_view text);  // Error{invalid_argument} with the position

  bool is_constant() const { return terms_.empty(); }
  int64_t value() const;                         // Error{internal} unless constant
  int64_t eval(const Bindings& bindings) const;  // Error names an unbound symbol, or overflow
  Dim substitute(const Bindings& bindings) const;
  std::string text() const;
  void collect_symbols(std::vector<std::string>& out) const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  friend bool operator==(const Dim& a, const Dim& b);

 private:
  // A monomial is a sorted list of atoms; an atom is a symbol or "floor((...)/k)", as text.
  using Monomial = std::vector<std::string>;
  int64_t constant_ = 0;
  std::map<Monomial, int64_t> terms_;
  static Dim atom(std::string text);
  void add_term(const Monomial& monomial, int64_t coefficient);
  friend Dim floor_div(const Dim& a, int64_t k);
};

// floor(a / k), k > 0; exact where every coefficient divides.
Dim floor_div(const Dim& a, int64_t k);

using SymShape = std::vector<Dim>;
std::string to_string(const SymShape& shape);
SymShape symbolic(const Shape& shape);
Shape evaluate(const SymShape& shape, const Bindings& bindings);
Dim product(const SymShape& shape);
bool is_constant(const SymShape& shape);

}  // namespace octavo
