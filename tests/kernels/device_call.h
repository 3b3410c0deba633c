#pragma once
// Launches on a device, on copies of the inputs, that watch what a kernel does to memory.
#include "kernels/call.h"
#include "kernels/device.h"

namespace octavo::test {

// As launch() in call.h; call.device is where.
std::vector<Tensor> launch_on_device(const Kernel& kernel, const Call& call, const Inputs& inputs,
                                     const LaunchOptions& options = {});

}  // namespace octavo::test
