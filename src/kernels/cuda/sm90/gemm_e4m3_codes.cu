#include "kernels/cuda/sm90/instance.cuh"

namespace octavo::cuda::sm90 {

std::span<const Instance> gemm_e4m3_codes_instances() {
  static const Instance kInstances[] = {
      instance<E4m3, Codes<E4m3>, 256, 1>(),
      instance<E4m3, Codes<E4m3>, 256, 2>(),
      instance<E4m3, Codes<E4m3>, 192, 2>(),
      instance<E4m3, Codes<E4m3>, 128, 2>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
