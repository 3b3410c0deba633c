#pragma once
// Elements on the device: every kernel computes in f32 and rounds once, to nearest even.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/cuda.h"

namespace octavo::cuda {

__device__ inline float to_float(float v) { return v; }
__device__ inline float to_float(__half v) { return __half2float(v); }
__device__ inline float to_float(__nv_bfloat16 v) { return __bfloat162float(v); }

template <class T>
__device__ T from_float(float v);
template <>
__device__ inline float from_float<float>(float v) {
  return v;
}
template <>
__device__ inline __half from_float<__half>(float v) {
  return __float2half_rn(v);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}

// First in a kernel that is launched with Start::overlapped: before it, nothing that earlier
// launches write is there, and what they read is still needed. From here on the next launch may
// start likewise.
__device__ inline void await_earlier_launches() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// N elements that move as one; addresses are multiples of its size.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};

// A type as a value, for with_compute_type.
template <class T>
struct Type {
  using type = T;
};

// body(Type<T>{}) for the C++ type of a compute type, which kernels check in supports().
template <class Body>
void with_compute_type(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::f32:
      return body(Type<float>{});
    case DType::f16:
      return body(Type<__half>{});
    case DType::bf16:
      return body(Type<__nv_bfloat16>{});
    default:
      throw Error(ErrorCode::internal, std::string(name(dtype)) + " is not a compute type");
  }
}

// An operand of any compute type, for small parameters (biases, norms' weights): one branch a load.
struct AnyFloat {
  const void* data;
  DType dtype;
  __device__ float operator[](int64_t i) const {
    if (dtype == DType::f32) return static_cast<const float*>(data)[i];
    if (dtype == DType::bf16) return to_float(static_cast<const __nv_bfloat16*>(data)[i]);
    return to_float(static_cast<const __half*>(data)[i]);
  }
};
inline AnyFloat any_float(const Call& call, const Buffers& buffers, size_t input) {
  if (!has(call, input)) return {nullptr, DType::f32};
  return {buffers.inputs[input], dtype_of(call, input)};
}

}  // namespace octavo::cuda
