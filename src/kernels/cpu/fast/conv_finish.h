#pragma once
// The epilogue of a row of a convolution's output: y = acc * scale + bias + residual.
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo::cpu {

struct ConvRow {
  DType acc_type = DType::f32;  // f32 or i32
  const void* acc = nullptr;
  int64_t n = 0;
  bool scaled = false;
  float scale = 1;
  bool biased = false;
  float bias = 0;
  DType type = DType::f32;         // of residual and y: f32 or bf16
  const void* residual = nullptr;  // may be absent
  void* y = nullptr;
};

void finish_conv_row(const ConvRow& row);

}  // namespace octavo::cpu
