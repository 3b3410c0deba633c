#pragma once
// What happens to a tile of a matrix product while it is in the cache:
//   y = act(acc * (x_scale * w_scale[n]) + bias[n]);  y = residual + gate * y
// each operation rounded on its own (no fused multiply-add), then y is stored or quantized.
#include <cstdint>

#include "kernels/cpu/activation.h"
#include "tensor/dtype.h"

namespace octavo::cpu {

// Rows [row, row + rows) and columns [col, col + cols) of a product.
struct Tile {
  int64_t row, rows, col, cols;
};

struct Epilogue {
  DType acc = DType::f32;   // f32 or i32
  DType type = DType::f32;  // of gate and residual: f32 or bf16
  int64_t n = 0;            // row length of gate, residual and output

  const float* x_scale = nullptr;                  // absent: no scales at all
  const float* w_scale = nullptr;                  // absent: 1
  int64_t x_scale_stride = 0, w_scale_stride = 0;  // 0: one for all; 1: one a row, a column
  const float* bias = nullptr;                     // [n]
  Activation activation = Activation::none;        // is_vector_activation
  const void* gate = nullptr;                      // [samples, n]
  int64_t rows_per_sample = 1;
  const void* residual = nullptr;  // [rows, n]

  // f32 or bf16: y; i8, e4m3, e5m2: codes of y / *out_scale.
  DType out = DType::f32;
  const float* out_scale = nullptr;
  void* output = nullptr;  // its first row is row `first_row` of the product
  int64_t first_row = 0;
};

// From a tile whose rows are `ld` elements apart. False if a NaN met a format that has none.
bool finish_tile(const Epilogue& e, const void* acc, int64_t ld, const Tile& tile);

bool is_vector_activation(Activation activation);  // all but the exact gelu
bool is_vector_code(DType dtype);                  // i8, e4m3, e5m2

}  // namespace octavo::cpu
