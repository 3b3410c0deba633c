#include "kernels/cuda/sm90/instance.cuh"

namespace octavo::cuda::sm90 {

std::span<const Instance> gemm_e4m3_codes_instances() {
  static const Instance kInstances[] = {
      instance<E4m3, Codes<E4m3>, 192, 2, true>(),  instance<E4m3, Codes<E4m3>, 192, 1, true>(),
      instance<E4m3, Codes<E4m3>, 128, 2, true>(),  instance<E4m3, Codes<E4m3>, 128, 1, true>(),
      instance<E4m3, Codes<E4m3>, 256, 2, false>(),
  };
  return kInstances;
}

}  // namespace octavo::cuda::sm90
