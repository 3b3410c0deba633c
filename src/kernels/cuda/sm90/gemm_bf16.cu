#include "kernels/cuda/sm90/instance.cuh"

namespace octavo::cuda::sm90 {

std::span<const Instance> gemm_bf16_instances() {
  static const Instance kInstances[] = {
      instance<Bf16, __nv_bfloat16, 192, 2, true>(),  instance<Bf16, __nv_bfloat16, 192, 1, true>(),
      instance<Bf16, __nv_bfloat16, 128, 2, true>(),  instance<Bf16, __nv_bfloat16, 128, 1, true>(),
      instance<Bf16, __nv_bfloat16, 256, 2, false>(), instance<Bf16, __nv_bfloat16, 64, 1, true>(),
      instance<Bf16, float, 128, 1, true>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
