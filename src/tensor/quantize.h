#pragma once
// Quantization of one tensor under a QuantSpec: the arithmetic, with no opinion on how a scale is
// found beyond absmax. All arithmetic is f32; the scale is rounded to its own format BEFORE it
// divides, so that codes and scale belong together. Bytes out depend on bytes in only.
//   symmetric: s = max(absmax, 1e-12) / top, code = encode(x / s)   top: 127 for i8 (codes reach
//   -128), 7 for i4, 1 for i2, the largest finite value for floats. x / s saturates in every
//   format, e5m2 included.
//   zero point (asymmetric, integers): s = max(max - min, 1e-12) / (2^bits - 1) over a range that
//   is widened to contain 0; zero_point = clamp(low - round(min / s)), a code, low = -2^(bits-1),
//   0 of unsigned formats; code = clamp(round(x / s) + zero_point). 0 is exact.
// Scales are rounded to nearest and kept within [smallest > 0, largest] of their format. Only e8m0
// is rounded up, as cuBLAS has it for MXFP8: to nearest would clip values by up to a third; and mx
// is 2^(floor(log2 absmax) - floor(log2 top)), as OCP's MX formats have it: values saturate.
// Two levels (e4m3*f32), as ModelOpt has NVFP4: t = max(absmax of all, 1e-12) / (448 top),
//   s = e4m3(absmax / (top t)), 1 for a tile of zeros; code = encode(x / (s t)), real = code (s t).
#include <string_view>
#include <utility>

#include "octavo/quant_spec.h"
#include "tensor/tensor.h"

namespace octavo {

struct QuantizedTensor {
  QuantSpec spec;
  Tensor codes;              // spec.format, the source's shape
  Tensor scale;              // scale_format(spec), [row tiles, col tiles]
  Tensor zero_point;         // f32 [row tiles, col tiles], or empty
  Tensor tensor_scale = {};  // f32 [1, 1] of two-level scales, or empty
};

// What a spec's scales are stored as: e8m0 of mx, e4m3 of e4m3*f32, else what it says.
DType scale_format(const QuantSpec& spec);
// f32 [row tiles, col tiles]: both levels in one.
Tensor whole_scale(const QuantizedTensor& q);

// Bits of storage a value of a rows x cols matrix: codes with their rows' padding, scales, zero
// points (32 bits each).
double bits_per_value(const QuantSpec& spec, int64_t rows, int64_t cols);

// The matrix view [rows, cols]: weight = axis 0 x rest, activation = leading axes x last.
enum class MatrixView : uint8_t { weight, activation };
std::pair<int64_t, int64_t> matrix_extents(const Shape& shape, MatrixView view);

// The largest code magnitude that absmax is mapped to.
float top_code(const QuantSpec& spec);
// max(absmax, 1e-12) / top, rounded to the scale's format and never 0: an all-zero tile gets a
// usable scale. For symmetric specs; absmax is finite.
float scale_for_absmax(const QuantSpec& spec, float absmax);
// The same of two-level specs: the tensor's, and then a tile's under it (to be multiplied by it).
float tensor_scale_for_absmax(const QuantSpec& spec, float absmax);
float tile_scale_for_absmax(const QuantSpec& spec, float absmax, float tensor_scale);

// Scales from the data: weights, and activations of dynamic specs. The source is of any float type
// of 8 bits or more. Throws Error{not_finite} naming `what` and the first index.
QuantizedTensor quantize(const Tensor& source, const QuantSpec& spec, MatrixView view,
                         std::string_view what = "tensor");
// With given scales (calibrated activations): scale_format(spec), of the spec's scale_shape, all
// finite and > 0. Symmetric specs of one level only.
QuantizedTensor quantize_with_scale(const Tensor& source, const QuantSpec& spec, MatrixView view,
                                    const Tensor& scale, std::string_view what = "tensor");
Tensor dequantize(const QuantizedTensor& q, MatrixView view);  // f32, source's shape

}  // namespace octavo
