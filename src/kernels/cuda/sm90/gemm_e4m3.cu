#include "kernels/cuda/sm90/instance.cuh"

namespace octavo::cuda::sm90 {

std::span<const Instance> gemm_e4m3_instances() {
  static const Instance kInstances[] = {
      instance<E4m3, __nv_bfloat16, 192, 192, 2, 1, Share::columns>(),
      instance<E4m3, __nv_bfloat16, 128, 192, 2, 1, Share::turns>(),
      instance<E4m3, __nv_bfloat16, 128, 192, 1, 1, Share::turns>(),
      instance<E4m3, __nv_bfloat16, 128, 128, 2, 1, Share::turns>(),
      instance<E4m3, __nv_bfloat16, 128, 128, 1, 1, Share::turns>(),
      instance<E4m3, __nv_bfloat16, 128, 256, 2, 1, Share::rows>(),
      instance<E4m3, __nv_bfloat16, 128, 192, 2, 2, Share::turns>(),
      instance<E4m3, __nv_bfloat16, 256, 128, 2, 1, Share::rows>(),
      instance<E4m3, __nv_bfloat16, 256, 192, 2, 1, Share::rows>(),
      instance<E4m3, __nv_bfloat16, 64, 128, 1, 1, Share::turns>(),
      instance<E4m3, __nv_bfloat16, 64, 64, 1, 1, Share::turns>(),
      instance<E4m3, __nv_bfloat16, 128, 192, 2, 1, Share::rows, true>(),
      instance<E4m3, __nv_bfloat16, 128, 64, 1, 1, Share::rows, true>(),
      instance<E4m3, float, 128, 128, 1, 1, Share::turns>(),
      instance<E4m3, float, 128, 128, 1, 1, Share::rows, true>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
