// The vectors that linear_e4m3_cublaslt.cc hands to cuBLASLt.
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/linear_e4m3_cublaslt.h"

namespace octavo::cuda {
namespace {

__global__ void fold_gate_kernel(GateFolding f) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (f.x_scales && i < f.m) f.x_scales[i] = f.x_scale[0];
  if (i >= f.samples * f.n) return;
  const int64_t col = i % f.n;
  const auto* gates = static_cast<const __nv_bfloat16*>(f.gate);
  const float gate = gates ? to_float(gates[i]) : 1.0f;
  if (f.w_scales) f.w_scales[i] = f.w_scale[col * f.w_stride] * gate;
  if (f.biases) {
    const float bias = to_float(static_cast<const __nv_bfloat16*>(f.bias)[col]);
    static_cast<__nv_bfloat16*>(f.biases)[i] = from_float<__nv_bfloat16>(bias * gate);
  }
}

}  // namespace

void fold_gate(const Call& call, const GateFolding& folding) {
  constexpr int kBlock = 256;
  const int64_t threads = std::max(folding.m, folding.samples * folding.n);
  launch(call, fold_gate_kernel, blocks_for(threads, kBlock), kBlock, 0, folding);
}

}  // namespace octavo::cuda
