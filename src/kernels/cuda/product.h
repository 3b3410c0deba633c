#pragma once
// The pieces of linear layers and convolutions: operands as matrices, their way into the types that
// are multiplied, and what follows the sums. Host side; without fmt, which nvcc cannot read.
#include "kernels/cuda/cuda.h"

namespace octavo::cuda {

// The scales of an operand, by element of its matrix.
struct ScaleGrid {
  const float *scale = nullptr, *zero_point = nullptr;  // absent: codes are the values
  int64_t tile_rows = 1, tile_cols = 1, across = 1;     // across: tiles of one row
};

// rows x cols of any type, row after row; rows of codes of fewer than 8 bits begin at whole bytes.
struct Matrix {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0, cols = 0;
  ScaleGrid grid;
};

// One sample x[C, H, W] of a convolution as the matrix [pixels of the output, C * kh * kw].
struct Patches {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64_t channels = 0, height = 0, width = 0;
  int64_t kernel_h = 1, kernel_w = 1, stride = 1, top = 0, left = 0;
  int64_t out_height = 0, out_width = 0;
  int64_t pixels() const { return out_height * out_width; }
  int64_t taps() const { return channels * kernel_h * kernel_w; }
};

// Where an operand is unpacked to: rows x cols of f32, bf16, f16, i8 or e4m3, the latter two as the
// codes that they are. What lies beyond the operand's own extent becomes zero. `terms` > 1 (bf16
// only): planes whose sum is the value, `plane` elements apart.
struct Unpacked {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0, cols = 0, ld = 0;
  int terms = 1;
  int64_t plane = 0;
};

// Rows [row, row + to.rows) of m, its values with scales and zero points as `dequantize` has them.
void unpack(const Call& call, const Matrix& m, int64_t row, const Unpacked& to);
// Pixels [pixel, pixel + pixels) of x. to is [pixels, taps], or [taps, pixels] if by_tap.
void unpack_patches(const Call& call, const Patches& x, int64_t pixel, int64_t pixels, bool by_tap,
                    const Unpacked& to);

// n elements of any float type as f32.
void widen(const Call& call, DType dtype, const void* src, float* dst, int64_t n);

enum class Activation : uint8_t { none, silu, gelu_tanh, gelu };

// v = acc * (row_scale * col_scale) + bias; v = residual + gate * activation(v): steps 2 to 8 of
// cpu/ref/quantized_linear.cc, each rounded to f32 on its own.
struct Epilogue {
  int64_t ld = 0;  // row length of output and residual
  const float *row_scale = nullptr, *col_scale = nullptr;
  int row_scale_stride = 0, col_scale_stride = 0;  // 0: one for all; 1: one a row, a column
  const void* bias = nullptr;
  DType bias_type = DType::f32;
  bool bias_by_row = false;
  Activation activation = Activation::none;
  DType side = DType::f32;     // of gate and residual
  const void* gate = nullptr;  // [samples, ld]
  int64_t rows_per_sample = 1;
  const void* residual = nullptr;  // [rows, ld]
  void* out = nullptr;             // [rows, ld]
  DType out_type = DType::f32;     // a compute type, or i8, e4m3, e5m2: codes of v / *out_scale
  const float* out_scale = nullptr;
  uint32_t* not_finite = nullptr;  // set where a code cannot say NaN
};

// The output of a call with an optional out_spec, which the epilogue writes itself (compute types,
// byte codes under one given scale) or stages as f32 rows in `staged_bytes` of workspace.
Verdict supports_output(const Call& call, size_t scale_input);
size_t staged_bytes(const Call& call);
void begin_output(const Call& call, const Buffers& buffers, size_t scale_input, void* staged,
                  Epilogue& e);
void end_output(const Call& call, const Buffers& buffers, size_t scale_input, void* staged);

// A rectangle of the output.
struct Tile {
  int64_t row = 0, rows = 0, col = 0, cols = 0;
};

// acc: f32 or i32, its rows `acc_ld` apart. out may be acc where out_type is f32.
void finish(const Call& call, const Epilogue& e, const Tile& tile, DType acc_type, const void* acc,
            int64_t acc_ld);

// e's output from a b^T at once: sums in double in order of k, whatever the operands are. Slow.
void multiply_simt(const Call& call, const Matrix& a, const Matrix& b, const Epilogue& e);
void multiply_simt(const Call& call, const Matrix& a, const Patches& b, const Epilogue& e);

}  // namespace octavo::cuda
