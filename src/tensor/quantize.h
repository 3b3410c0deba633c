#pragma once
// Quantization of one tensor under a QuantSpec: the arithmetic, with no opinion on how a scale is
// found beyond absmax. All arithmetic is f32; the scale is rounded to its own format BEFORE it
// divides, so that codes and scale belong together. Bytes out depend on bytes in only.
//   symmetric: s = max(absmax, floor) / top, code = encode(x / s)   top: 127 for i8 (codes reach
//   -128), 7 for i4, the largest finite value for floats
//   zero point (asymmetric, integers): s = (max - min) / (2^bits - 1), zp in the code's own grid
#include "octavo/quant_spec.h"
#include "tensor/tensor.h"

namespace octavo {

struct QuantizedTensor {
  QuantSpec spec;
  Tensor codes;  // spec.format, the source's shape
  Tensor scale;  // spec.scale, [row tiles, col tiles]
  Tensor zero_point;  // f32 [row tiles, col tiles], or empty
};

// The matrix view [rows, cols]: weight = axis 0 x rest, activation = leading axes x last.
enum class MatrixView : uint8_t { weight, activation };
std::pair<int64_t, int64_t> matrix_extents(const Shape& shape, MatrixView view);

// The largest code magnitude that absmax is mapped to.
float top_code(const QuantSpec& spec);
// max(absmax, floor) / top, rounded to the scale's format and never 0: an all-zero tile gets a
// usable scale.
float scale_for_absmax(const QuantSpec& spec, float absmax);

// Weights: static scales from the data. Throws Error{not_finite} naming `what` and the first index.
QuantizedTensor quantize(const Tensor& source, const QuantSpec& spec, MatrixView view,
                         std::string_view what = "tensor");
// With given scales (calibrated activations).
QuantizedTensor quantize_with_scale(const Tensor& source, const QuantSpec& spec, MatrixView view,
                                    const Tensor& scale);
Tensor dequantize(const QuantizedTensor& q, MatrixView view);  // f32, source's shape

}  // namespace octavo
