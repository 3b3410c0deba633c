#include "kernels/cuda/sm90/gemm_mixed_kernel.cuh"

namespace octavo::cuda::sm90 {

std::span<const MixedInstance> gemm_mixed_i8_instances() {
  static const MixedInstance kInstances[] = {
      mixed_instance<MixedShape<CodesI8, 256, 1>>(), mixed_instance<MixedShape<CodesI8, 256, 2>>(),
      mixed_instance<MixedShape<CodesI8, 224, 1>>(), mixed_instance<MixedShape<CodesI8, 192, 1>>(),
      mixed_instance<MixedShape<CodesI8, 128, 1>>(), mixed_instance<MixedShape<CodesI8, 64, 1>>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
