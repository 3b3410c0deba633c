#pragma once
// The activation functions that kernels fuse. Sigmoid forms: no cancellation for negative x, one
// exponential and one quotient, each within two units in the last place.
#include <cuda_runtime.h>

namespace octavo::cuda {

// x / (1 + 2^-t); 0 where 2^-t overflows, NaN for x = -infinity as the limit's formula has it.
__device__ inline float over_one_plus_exp2(float x, float minus_t) {
  return __fdividef(x, 1.0f + exp2f(minus_t));
}
__device__ inline float silu(float x) { return over_one_plus_exp2(x, -1.44269504f * x); }
// 0.5 x (1 + tanh(u)) = x / (1 + exp(-2 u)), u = sqrt(2/pi) (x + 0.044715 x^3).
__device__ inline float gelu_tanh(float x) {
  constexpr float kLinear = -2.30220819f;  // -2 sqrt(2/pi) log2(e)
  return over_one_plus_exp2(x, x * fmaf(kLinear * 0.044715f, x * x, kLinear));
}
__device__ inline float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.707106781f)); }

}  // namespace octavo::cuda
