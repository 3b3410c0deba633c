#pragma once
// Private to linear_e4m3_cublaslt.cc. Without fmt, which nvcc cannot read.
#include "kernels/cuda/cuda.h"

namespace octavo::cuda {

// What a product with vectors of scales takes, made of what a layer has. Outputs that are nullptr
// are not wanted.
struct GateFolding {
  const float *x_scale = nullptr, *w_scale = nullptr;
  int w_stride = 0;                             // 0: one for all
  const void *bias = nullptr, *gate = nullptr;  // bf16 [n], [samples, n]
  int64_t m = 0, n = 0, samples = 1;
  float* x_scales = nullptr;  // [m]: x_scale[0]
  float* w_scales = nullptr;  // [samples, n]: w_scale gate
  void* biases = nullptr;     // bf16 [samples, n]: bias gate
};
void fold_gate(const Call& call, const GateFolding& folding);

}  // namespace octavo::cuda
