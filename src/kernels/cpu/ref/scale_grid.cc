#include "kernels/cpu/ref/scale_grid.h"

#include <fmt/format.h>

namespace octavo::cpu {

ScaleGrid::ScaleGrid(const QuantSpec& spec, const Shape& shape, MatrixView view, const float* scale,
                     const float* zero_point)
    : scale_(scale), zero_point_(zero_point) {
  const auto [rows, cols] = matrix_extents(shape, view);
  if (spec.tile_rows > 0) tile_rows_ = spec.tile_rows;
  if (spec.tile_cols > 0) tile_cols_ = spec.tile_cols;
  across_ = spec.scale_shape(rows, cols)[1];
}

Verdict supports_codes(const Call& call, const QuantSpec& spec, MatrixView view, size_t codes,
                       size_t scale, std::optional<size_t> zero_point) {
  const Operand& operand = *call.inputs[codes];
  if (operand.dtype != *find_dtype(spec.format)) {
    return Verdict::no(fmt::format("input {} is {}, not {} as its spec {} says", codes,
                                   name(operand.dtype), spec.format, spec.text()));
  }
  const bool has_zero_point = zero_point && has(call, *zero_point);
  if (has_zero_point != spec.zero_point) {
    return Verdict::no(
        fmt::format("spec {} and the zero point of input {} do not fit", spec.text(), codes));
  }
  const auto [rows, cols] = matrix_extents(operand.shape, view);
  const Shape expected = spec.scale_shape(rows, cols);
  for (const size_t i : {scale, has_zero_point ? *zero_point : scale}) {
    if (has(call, i) && shape_of(call, i) == expected && is_float(call.inputs[i]->dtype)) continue;
    return Verdict::no(fmt::format("input {} is not a float {} as spec {} of input {} wants", i,
                                   to_string(expected), spec.text(), codes));
  }
  return Verdict::yes();
}

std::optional<QuantSpec> x_spec(const Call& call) {
  if (!call.attrs.has("x_spec")) return std::nullopt;
  return QuantSpec::parse(call.attrs.get_string("x_spec"));
}

QuantSpec w_spec(const Call& call) { return QuantSpec::parse(call.attrs.get_string("w_spec")); }

Verdict supports_quantized_operands(const Call& call, MatrixView x_view) {
  const auto spec = x_spec(call);
  const Verdict x = spec ? supports_codes(call, *spec, x_view, kX, kXScale, std::nullopt)
                         : float_inputs(call, kX, kX);
  return all_of({x,
                 supports_codes(call, w_spec(call), MatrixView::weight, kW, kWScale, kWZeroPoint),
                 float_inputs(call, kBias, call.inputs.size())});
}

ScaleGrid x_grid(const Call& call, const FloatInputs& in, MatrixView view) {
  const auto spec = x_spec(call);
  if (!spec) return {};
  return {*spec, shape_of(call, kX), view, in[kXScale], nullptr};
}

ScaleGrid w_grid(const Call& call, const FloatInputs& in) {
  return {w_spec(call), shape_of(call, kW), MatrixView::weight, in[kWScale], in[kWZeroPoint]};
}

}  // namespace octavo::cpu
