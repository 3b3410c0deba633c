#include <algorithm>
#include <cmath>

#include "graph/infer.h"

namespace octavo::infer {

bool is_compute(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

void check_compute(const ValueType& type, const char* operand) {
  OCTAVO_CHECK(is_compute(type.dtype), "{} is {}, expected f32, f16 or bf16", operand,
               to_string(type));
}

void check_float(const ValueType& type, const char* operand) {
  OCTAVO_CHECK(is_float(type.dtype), "{} is {}, expected a float type", operand, to_string(type));
}

void check_dtype(const ValueType& type, const char* operand, DType expected) {
  OCTAVO_CHECK(type.dtype == expected, "{} is {}, expected {}", operand, to_string(type),
               octavo::name(expected));
}

void check_shape(const ValueType& type, const char* operand, const SymShape& expected) {
  OCTAVO_CHECK(type.shape == expected, "{} is {}, expected shape {}", operand, to_string(type),
               to_string(expected));
}

void check_rank(const ValueType& type, const char* operand, size_t rank) {
  OCTAVO_CHECK(type.shape.size() == rank, "{} is {}, expected {} axes", operand, to_string(type),
               rank);
}

void check_rank_at_least(const ValueType& type, const char* operand, size_t rank) {
  OCTAVO_CHECK(type.shape.size() >= rank, "{} is {}, expected at least {} axes", operand,
               to_string(type), rank);
}

void check_choice(const Attrs& attrs, const char* key,
                  std::initializer_list<std::string_view> allowed) {
  if (!attrs.has(key)) return;
  const std::string& value = attrs.get_string(key);
  OCTAVO_CHECK(std::find(allowed.begin(), allowed.end(), value) != allowed.end(),
               "attribute '{}' is '{}', expected one of: {}", key, value,
               fmt::join(allowed, " | "));
}

void check_positive(const Attrs& attrs, const char* key) {
  OCTAVO_CHECK(attrs.get_int(key) > 0, "attribute '{}' is {}, expected a positive integer", key,
               attrs.get_int(key));
}

void check_finite_positive(const Attrs& attrs, const char* key) {
  const double value = attrs.get_double(key);
  OCTAVO_CHECK(std::isfinite(value) && value > 0, "attribute '{}' is {}, expected a number above 0",
               key, value);
}

size_t checked_axis(const Attrs& attrs, size_t rank) {
  const int64_t axis = attrs.get_int("axis");
  OCTAVO_CHECK(axis >= 0 && static_cast<uint64_t>(axis) < rank,
               "axis {} is outside of a value with {} axes", axis, rank);
  return static_cast<size_t>(axis);
}

int64_t constant_extent(const Dim& dim, const char* what) {
  OCTAVO_CHECK(dim.is_constant() && dim.value() > 0, "{} is {}, expected a positive number", what,
               dim.text());
  return dim.value();
}

void check_vector(const std::optional<ValueType>& operand, const char* name, const Dim& length) {
  if (!operand) return;
  check_float(*operand, name);
  check_shape(*operand, name, {length});
}

void check_same(const std::optional<ValueType>& operand, const char* name,
                const ValueType& expected) {
  if (!operand) return;
  OCTAVO_CHECK(*operand == expected, "{} is {}, expected {}", name, to_string(*operand),
               to_string(expected));
}

}  // namespace octavo::infer
