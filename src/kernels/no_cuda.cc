// What stands for CUDA in a build without it.
#include "base/check.h"
#include "kernels/device.h"
#include "kernels/euler.h"
#include "kernels/kernel.h"
#include "kernels/staging.h"

namespace octavo {

std::span<const Kernel> cuda_kernels(Op) { return {}; }

void launch_euler(Device& device, const EulerLaunch&) {
  OCTAVO_FAIL(internal, "{}: this build has no kernels for devices", device.info().label);
}

void upload_all(Device& device, std::span<const Upload> uploads, const UploadSeen& seen) {
  upload_each(device, uploads, seen);
}

double link_rate(Device& device) {
  OCTAVO_FAIL(internal, "{}: this build has no link to devices", device.info().label);
}

std::shared_ptr<Device> open_device(std::string_view name) {
  if (name == "cpu") return nullptr;
  OCTAVO_CHECK(name.starts_with("cuda"), "device \"{}\" is not one of: cpu cuda cuda:N", name);
  OCTAVO_FAIL(unsupported,
              "device \"{}\": this build has no CUDA (nvcc 12.8 or later was not found)", name);
}

std::string list_devices() { return "this build has no CUDA (nvcc 12.8 or later was not found)\n"; }

}  // namespace octavo
