#pragma once
// Normalisation over groups of channels, vectorised.
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo::cpu {

struct GroupNorm {
  DType type = DType::f32;  // of x and y: f32 or bf16
  int64_t groups = 1;
  double eps = 0;
  const float* weight = nullptr;  // [groups * channels], or absent
  const float* shift = nullptr;   // likewise
  bool silu = false;
  const void* x = nullptr;              // [samples, groups, channels, positions]
  void* y = nullptr;                    // may be x
  int64_t channels = 0, positions = 0;  // of a group
};

// One group of one sample: index = sample * groups + group.
void normalize_group(const GroupNorm& norm, int64_t index);

}  // namespace octavo::cpu
