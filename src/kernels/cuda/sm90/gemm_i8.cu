#include "kernels/cuda/sm90/instance.cuh"

namespace octavo::cuda::sm90 {

std::span<const Instance> gemm_i8_instances() {
  static const Instance kInstances[] = {
      instance<I8, __nv_bfloat16, 192, 192, 2, 1, Share::columns>(),
      instance<I8, __nv_bfloat16, 128, 192, 2, 1, Share::turns>(),
      instance<I8, __nv_bfloat16, 128, 192, 1, 1, Share::turns>(),
      instance<I8, __nv_bfloat16, 128, 128, 2, 1, Share::turns>(),
      instance<I8, __nv_bfloat16, 128, 128, 1, 1, Share::turns>(),
      instance<I8, __nv_bfloat16, 64, 128, 1, 1, Share::turns>(),
      instance<I8, __nv_bfloat16, 64, 64, 1, 1, Share::turns>(),
      instance<I8, float, 128, 128, 1, 1, Share::turns>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
