// What stands for CUDA in a build without it.
#include "base/check.h"
#include "kernels/device.h"
#include "kernels/kernel.h"

namespace octavo {

std::span<const Kernel> cuda_kernels(Op) { return {}; }

std::shared_ptr<Device> open_device(std::string_view name) {
  if (name == "cpu") return nullptr;
  OCTAVO_CHECK(name.starts_with("cuda"), "device \"{}\" is not one of: cpu cuda cuda:N", name);
  OCTAVO_FAIL(unsupported,
              "device \"{}\": this build has no CUDA (nvcc 12.8 or later was not found)", name);
}

std::string list_devices() { return "this build has no CUDA (nvcc 12.8 or later was not found)\n"; }

}  // namespace octavo
