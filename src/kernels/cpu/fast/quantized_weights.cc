#include "kernels/cpu/fast/quantized_weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "tensor/codec.h"

namespace octavo::cpu {
namespace {

// Int32 sums of k products of codes cannot overflow below this.
constexpr int64_t kMaxDepth = 1 << 17;

}  // namespace

Verdict supports_x_scale(const Call& call) {
  const auto spec = x_spec(call);
  if (!spec) return Verdict::yes();
  if (spec->tile_rows > 1 || spec->tile_cols != 0) {
    return Verdict::no(fmt::format("x_spec {} is neither per tensor nor per row", spec->text()));
  }
  if (call.inputs[kXScale]->dtype != DType::f32) return Verdict::no("x_scale is not f32");
  return Verdict::yes();
}

bool scales_by_row(const Call& call) {
  const auto [rows, cols] = matrix_extents(shape_of(call, kW), MatrixView::weight);
  return w_spec(call).scale_shape(rows, cols)[1] <= 1;
}

Tensor row_scales(const Call& call) {
  const Shape& w = shape_of(call, kW);
  const Tensor scale = call.inputs[kWScale]->constant->to(DType::f32);
  const ScaleGrid grid(w_spec(call), w, MatrixView::weight, scale.as<float>(), nullptr);
  Tensor rows = Tensor::empty(DType::f32, {w[0]});
  for (int64_t j = 0; j < w[0]; ++j) rows.as_mutable<float>()[j] = grid.scale(j, 0);
  return rows;
}

Tensor decoded_weights(const Call& call) {
  const Shape& shape = shape_of(call, kW);
  const auto data = [&](size_t i) {
    return has(call, i) ? call.inputs[i]->constant->to(DType::f32) : Tensor();
  };
  const Tensor codes = data(kW), scale = data(kWScale), zero_point = data(kWZeroPoint);
  const ScaleGrid grid(w_spec(call), shape, MatrixView::weight, scale.as<float>(),
                       zero_point.as<float>());
  const bool fold = !scales_by_row(call);
  const auto [rows, cols] = matrix_extents(shape, MatrixView::weight);
  Tensor w = Tensor::empty(DType::f32, shape);
  for (int64_t j = 0; j < rows; ++j) {
    const float* from = codes.as<float>() + j * cols;
    float* to = w.as_mutable<float>() + j * cols;
    for (int64_t i = 0; i < cols; ++i) {
      to[i] = (from[i] - grid.zero_point(j, i)) * (fold ? grid.scale(j, i) : 1.0f);
    }
  }
  return w;
}

Verdict supports_integer_sums(const Call& call) {
  if (!x_spec(call)) return Verdict::no("x is not quantized");
  for (size_t i : {kX, kW}) {
    if (call.inputs[i]->dtype == DType::i8) continue;
    return Verdict::no(fmt::format("codes of x and w are {} and {}, not i8",
                                   name(call.inputs[kX]->dtype), name(call.inputs[kW]->dtype)));
  }
  if (has(call, kWZeroPoint)) return Verdict::no("w has a zero point");
  if (!scales_by_row(call)) return Verdict::no("w has scales along k");
  if (matrix_extents(shape_of(call, kW), MatrixView::weight).second >= kMaxDepth) {
    return Verdict::no("int32 sums could overflow");
  }
  return Verdict::yes();
}

void dequantize_x(const Call& call, const void* codes, const float* scale, float* dst) {
  const QuantSpec spec = *x_spec(call);
  const DType format = call.inputs[kX]->dtype;
  const auto [rows, cols] = matrix_extents(shape_of(call, kX), MatrixView::activation);
  const int64_t across = spec.scale_shape(rows, cols)[1];
  const int64_t tile_rows = spec.tile_rows ? spec.tile_rows : std::max<int64_t>(rows, 1);
  const int64_t tile_cols = spec.tile_cols ? spec.tile_cols : std::max<int64_t>(cols, 1);
  const auto* from = static_cast<const std::byte*>(codes);
  for_rows(rows, 2 * cols, [&, cols = cols](int64_t r) {
    float* row = dst + r * cols;
    decode_row(format, from + r * row_bytes(format, cols), row, cols);
    const float* scales = scale + r / tile_rows * across;
    for (int64_t c = 0; c < cols; c += tile_cols, ++scales) {
      for (int64_t i = c; i < c + tile_cols; ++i) row[i] *= *scales;
    }
  });
}

int64_t x_scale_stride(const Call& call) {
  return has(call, kXScale) && element_count(shape_of(call, kXScale)) > 1 ? 1 : 0;
}

}  // namespace octavo::cpu
