#pragma once
// The scales of a quantized operand, by element of its matrix view.
#include "kernels/cpu/ref/operands.h"
#include "octavo/quant_spec.h"
#include "tensor/quantize.h"

namespace octavo::cpu {

class ScaleGrid {
 public:
  // One scale of 1 for everything: an operand that is not quantized.
  ScaleGrid() = default;
  // zero_point may be nullptr.
  ScaleGrid(const QuantSpec& spec, const Shape& shape, MatrixView view, const float* scale,
            const float* zero_point);
  float scale(int64_t row, int64_t col) const { return scale_ ? scale_[tile(row, col)] : 1.0f; }
  float zero_point(int64_t row, int64_t col) const {
    return zero_point_ ? zero_point_[tile(row, col)] : 0.0f;
  }
  // Columns of one scale; whole rows if tiles_across() is 1.
  int64_t tile_cols() const { return tile_cols_; }
  int64_t tiles_across() const { return across_; }

 private:
  int64_t tile(int64_t row, int64_t col) const {
    return row / tile_rows_ * across_ + col / tile_cols_;
  }
  const float *scale_ = nullptr, *zero_point_ = nullptr;
  int64_t tile_rows_ = INT64_MAX, tile_cols_ = INT64_MAX, across_ = 1;
};

// Refuses codes that are not of the spec's format, scales and zero points of other shapes than its,
// and a zero point that the spec lacks or wants.
Verdict supports_codes(const Call& call, const QuantSpec& spec, MatrixView view, size_t codes,
                       size_t scale, std::optional<size_t> zero_point);

// The operands of a quantized product: x, x_scale?, w, w_scale, w_zp?, ... with {x_spec?, w_spec}.
enum QuantizedInput : size_t { kX, kXScale, kW, kWScale, kWZeroPoint, kBias };
std::optional<QuantSpec> x_spec(const Call& call);
QuantSpec w_spec(const Call& call);
Verdict supports_quantized_operands(const Call& call, MatrixView x_view);
ScaleGrid x_grid(const Call& call, const FloatInputs& in, MatrixView view);
ScaleGrid w_grid(const Call& call, const FloatInputs& in);

}  // namespace octavo::cpu
