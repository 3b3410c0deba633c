#include "kernels/cuda/sm90/gemm_mixed_kernel.cuh"

namespace octavo::cuda::sm90 {

std::span<const MixedInstance> gemm_mixed_i4_instances() {
  static const MixedInstance kInstances[] = {
      mixed_instance<CodesI4, 2, 128, 2>(), mixed_instance<CodesI4, 1, 192, 2>(),
      mixed_instance<CodesI4, 1, 128, 2>(), mixed_instance<CodesI4, 1, 128, 1>(),
      mixed_instance<CodesI4, 1, 64, 1>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
