#pragma once
// Normalisation of contiguous rows, vectorised: what layer_norm, rms_norm and norm_modulate share.
//   y = (x - mean) / sqrt(variance + eps) * weight + shift      mean is 0 without `center`
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo::cpu {

struct RowNorm {
  DType type = DType::f32;        // of x, and of y where it is not codes: f32 or bf16
  DType param_type = DType::f32;  // of weight and shift: f32, or `type`
  const void* x = nullptr;
  int64_t d = 0;  // row length
  float eps = 0;
  bool center = true;
  const void* weight = nullptr;  // [samples, d], or absent
  bool one_plus = false;         // 1 + weight
  const void* shift = nullptr;   // [samples, d], or absent
  int64_t rows_per_weight = 1, rows_per_shift = 1;

  // f32, bf16: y. i8, e4m3, e5m2: codes of y / *out_scale.
  DType out = DType::f32;
  const float* out_scale = nullptr;
  void* output = nullptr;
  int64_t first_row = 0;  // of the output
};

// Rows [begin, end). False if a NaN met a format that has none.
bool normalize_rows(const RowNorm& norm, int64_t begin, int64_t end);

}  // namespace octavo::cpu
