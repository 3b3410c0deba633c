#include "kernels/cuda/sm90/gemm_mixed_kernel.cuh"

namespace octavo::cuda::sm90 {

std::span<const MixedInstance> gemm_mixed_i4_instances() {
  static const MixedInstance kInstances[] = {
      mixed_instance<MixedShape<CodesI4, 256, 1>>(), mixed_instance<MixedShape<CodesI4, 224, 1>>(),
      mixed_instance<MixedShape<CodesI4, 192, 1>>(), mixed_instance<MixedShape<CodesI4, 128, 1>>(),
      mixed_instance<MixedShape<CodesI4, 64, 1>>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
