#pragma once
// Rotary positions over interleaved pairs, with or without RMS norm before, vectorised.
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo::cpu {

struct Rotation {
  DType type = DType::f32;  // of x and y: f32 or bf16
  const void* x = nullptr;  // [positions, heads, d]
  void* y = nullptr;        // may be x
  int64_t heads = 0, d = 0;
  const float* cos = nullptr;  // [table_rows, d/2]; position p uses row p modulo table_rows
  const float* sin = nullptr;
  int64_t table_rows = 0;
  bool norm = false;              // x / sqrt(mean(x^2) + eps) * weight first
  const float* weight = nullptr;  // [d], with norm
  float eps = 0;
};

// Positions [begin, end).
void rotate_positions(const Rotation& rotation, int64_t begin, int64_t end);

}  // namespace octavo::cpu
