#pragma once
// What kernels need of src/kernels/cuda/device.cc, for benchmarks that are linked without the rest of
// the project. Included once a program.
#include <string>

#include "kernels/cuda/cuda.h"

namespace octavo::cuda {

namespace {
cudaStream_t the_stream = nullptr;
DeviceInfo the_device;
uint32_t* the_flag = nullptr;
}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw Error(ErrorCode::device, std::string(what) + ": " + cudaGetErrorString(status));
}
void fail(const Call& call, const std::string& message) {
  throw Error(ErrorCode::internal, call.name + ": " + message);
}
cudaStream_t stream_of(const Call&) { return the_stream; }
const DeviceInfo& device_info(const Call&) { return the_device; }
uint32_t* not_finite_flag(const Call&) { return the_flag; }

}  // namespace octavo::cuda
