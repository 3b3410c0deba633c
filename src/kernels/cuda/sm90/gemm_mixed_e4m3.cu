#include "kernels/cuda/sm90/gemm_mixed_kernel.cuh"

namespace octavo::cuda::sm90 {

std::span<const MixedInstance> gemm_mixed_e4m3_instances() {
  static const MixedInstance kInstances[] = {
      mixed_instance<MixedShape<CodesE4m3, 256, 1>>(),
      mixed_instance<MixedShape<CodesE4m3, 256, 2>>(),
      mixed_instance<MixedShape<CodesE4m3, 224, 1>>(),
      mixed_instance<MixedShape<CodesE4m3, 192, 1>>(),
      mixed_instance<MixedShape<CodesE4m3, 128, 1>>(),
      mixed_instance<MixedShape<CodesE4m3, 64, 1>>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
