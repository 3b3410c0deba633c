#include "kernels/cuda/sm90/gemm_mixed_kernel.cuh"

namespace octavo::cuda::sm90 {

std::span<const MixedInstance> gemm_mixed_e4m3_instances() {
  static const MixedInstance kInstances[] = {
      mixed_instance<CodesE4m3, 1, 256, 2>(), mixed_instance<CodesE4m3, 2, 128, 2>(),
      mixed_instance<CodesE4m3, 1, 192, 2>(), mixed_instance<CodesE4m3, 1, 128, 2>(),
      mixed_instance<CodesE4m3, 1, 128, 1>(), mixed_instance<CodesE4m3, 1, 64, 1>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
