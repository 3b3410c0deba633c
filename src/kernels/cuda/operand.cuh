#pragma once
// Elements of product operands, whatever their type: a code's value, with its scale where the
// operand carries one.
#include "kernels/cuda/codec.cuh"
#include "kernels/cuda/product.h"

namespace octavo::cuda {

// Element `col` of a packed row of codes of fewer than 8 bits, or of a byte each.
template <DType D>
__device__ float load_code(const uint8_t* row, int64_t col) {
  constexpr int kBits = format_of(D).bits;
  if constexpr (kBits == 8) return Codec<D>::decode(row[col]);
  const int64_t bit = col * kBits;
  const int shift = static_cast<int>(bit & 7);
  uint32_t word = row[bit >> 3];
  if (shift + kBits > 8) word |= static_cast<uint32_t>(row[(bit >> 3) + 1]) << 8;
  return Codec<D>::decode((word >> shift) & ((1u << kBits) - 1));
}

__device__ inline float load_element(DType dtype, const uint8_t* row, int64_t col) {
  if (dtype == DType::f32) return reinterpret_cast<const float*>(row)[col];
  if (dtype == DType::bf16) return to_float(reinterpret_cast<const __nv_bfloat16*>(row)[col]);
  if (dtype == DType::f16) return to_float(reinterpret_cast<const __half*>(row)[col]);
  if (dtype == DType::e8m0) {
    const uint32_t code = row[col];
    return __uint_as_float(code == 255 ? 0x7fc00000u : code == 0 ? 0x400000u : code << 23);
  }
  float value = 0;
  with_code_format(dtype, [&](auto format) { value = load_code<format.value>(row, col); });
  return value;
}

__host__ __device__ constexpr int bits_of(DType dtype) { return format_of(dtype).bits; }

// Elements of a matrix, dequantized.
struct MatrixElements {
  Matrix m;
  int64_t row_bytes;
  explicit MatrixElements(const Matrix& matrix)
      : m(matrix), row_bytes((matrix.cols * bits_of(matrix.dtype) + 7) / 8) {}
  __device__ const uint8_t* row(int64_t i) const {
    return static_cast<const uint8_t*>(m.data) + i * row_bytes;
  }
  __device__ float operator()(int64_t i, int64_t k) const {
    const float v = load_element(m.dtype, row(i), k);
    if (m.grid.scale == nullptr) return v;
    const int64_t tile = i / m.grid.tile_rows * m.grid.across + k / m.grid.tile_cols;
    return (v - (m.grid.zero_point ? m.grid.zero_point[tile] : 0.0f)) * m.grid.scale[tile];
  }
};

// Elements of a convolution's input by output pixel and tap; zero in the padding.
struct PatchElements {
  Patches x;
  int64_t row_bytes;
  explicit PatchElements(const Patches& patches)
      : x(patches), row_bytes((patches.width * bits_of(patches.dtype) + 7) / 8) {}

  // Of one output pixel: the input's line and column under the filter's first tap.
  struct Place {
    int64_t line, column;
  };
  __device__ Place place(int64_t pixel) const {
    const int64_t row = pixel / x.out_width;
    return {row * x.stride - x.top, (pixel - row * x.out_width) * x.stride - x.left};
  }
  // The input's line (of all channels' lines) and column that a tap reads; false in the padding.
  __device__ bool locate(const Place& p, int64_t tap, int64_t* line, int64_t* column) const {
    const int64_t window = x.kernel_h * x.kernel_w, channel = tap / window;
    const int rest = static_cast<int>(tap - channel * window);
    const int kh = rest / static_cast<int>(x.kernel_w);
    const int64_t ih = p.line + kh, iw = p.column + rest - kh * x.kernel_w;
    if (ih < 0 || ih >= x.height || iw < 0 || iw >= x.width) return false;
    *line = channel * x.height + ih;
    *column = iw;
    return true;
  }
  __device__ const uint8_t* row(int64_t line) const {
    return static_cast<const uint8_t*>(x.data) + line * row_bytes;
  }
  __device__ float operator()(int64_t pixel, int64_t tap) const {
    int64_t line, column;
    if (!locate(place(pixel), tap, &line, &column)) return 0.0f;
    return load_element(x.dtype, row(line), column);
  }
};

}  // namespace octavo::cuda
