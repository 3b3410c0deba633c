#include "kernels/cuda/sm90/instance.cuh"

namespace octavo::cuda::sm90 {

std::span<const Instance> gemm_e4m3_codes_instances() {
  static const Instance kInstances[] = {
      instance<E4m3, Codes<E4m3>, 128, 192, 2, true>(),
      instance<E4m3, Codes<E4m3>, 128, 192, 1, true>(),
      instance<E4m3, Codes<E4m3>, 128, 128, 2, true>(),
      instance<E4m3, Codes<E4m3>, 128, 128, 1, true>(),
      instance<E4m3, Codes<E4m3>, 64, 64, 1, true>(),
      instance<E4m3, Codes<E4m3>, 128, 256, 2, false>(),
      instance<E4m3, Codes<E4m3>, 128, 192, 2, false, true>(),
      instance<E4m3, Codes<E4m3>, 128, 64, 1, false, true>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
