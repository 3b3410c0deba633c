#include <algorithm>
#include <cmath>

#include "graph/infer.h"

namespace octavo::infer {
namespace {

// NumPy's rule. Two symbols that differ are an error, not a wish.
SymShape broadcast(const ValueType& a, const ValueType& b) {
  SymShape result(std::max(a.shape.size(), b.shape.size()), Dim(1));
  for (const ValueType* type : {&a, &b}) {
    const size_t offset = result.size() - type->shape.size();
    for (size_t i = 0; i < type->shape.size(); ++i) {
      Dim& extent = result[offset + i];
      if (type->shape[i] == Dim(1) || type->shape[i] == extent) continue;
      OCTAVO_CHECK(extent == Dim(1), "{} and {} do not broadcast: {} against {}", to_string(a),
                   to_string(b), extent.text(), type->shape[i].text());
      extent = type->shape[i];
    }
  }
  return result;
}

}  // namespace

Results unary(const OpInfo&, Operands in, const Attrs& attrs) {
  check_compute(*in[0], "x");
  for (const auto& [key, attr] : attrs.map()) {
    const double value = std::get<double>(attr);
    OCTAVO_CHECK(!std::isnan(value), "attribute '{}' is not a number", key);
  }
  return {*in[0]};
}

Results gelu(const OpInfo&, Operands in, const Attrs& attrs) {
  check_compute(*in[0], "x");
  check_choice(attrs, "approximate", {"tanh", "none"});
  Results outputs{*in[0]};
  apply_out_spec(attrs, in[1], outputs);
  return outputs;
}

Results binary(const OpInfo&, Operands in, const Attrs&) {
  const ValueType &a = *in[0], &b = *in[1];
  check_compute(a, "a");
  OCTAVO_CHECK(a.dtype == b.dtype, "a is {} but b is {}: the types differ, cast one", to_string(a),
               to_string(b));
  return {{a.dtype, broadcast(a, b)}};
}

Results cast(const OpInfo&, Operands in, const Attrs& attrs) {
  constexpr DType kCastable[] = {DType::f64, DType::f32, DType::f16,    DType::bf16,
                                 DType::i64, DType::i32, DType::boolean};
  const auto castable = [&](DType dtype) {
    return std::find(std::begin(kCastable), std::end(kCastable), dtype) != std::end(kCastable);
  };
  const std::string& to = attrs.get_string("to");
  const std::optional<DType> dtype = find_dtype(to);
  OCTAVO_CHECK(dtype && castable(*dtype),
               "attribute 'to' is '{}', expected one of: f64 f32 f16 bf16 i64 i32 bool", to);
  OCTAVO_CHECK(castable(in[0]->dtype), "x is {}: codes are read by dequantize, not cast",
               to_string(*in[0]));
  return {{*dtype, in[0]->shape}};
}

}  // namespace octavo::infer
