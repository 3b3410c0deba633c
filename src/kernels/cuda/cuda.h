#pragma once
// What the CUDA kernels share on the host's side: the device, launches that are checked, and
// operands as kernels want them. Without fmt (base/check.h), which nvcc cannot read.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/device.h"
#include "kernels/kernel.h"
#include "octavo/error.h"

namespace octavo::cuda {

// Error{device}, {out_of_memory} or {unsupported} naming what was tried.
void check(cudaError_t status, const char* what);
[[noreturn]] void fail(const Call& call, const std::string& message);  // Error{internal}

cudaStream_t stream_of(const Call& call);
const DeviceInfo& device_info(const Call& call);
// A kernel that meets NaN or infinity where it needs numbers (to quantize them) writes 1 here; the
// device reports it as Error{not_finite} when it is synchronized.
uint32_t* not_finite_flag(const Call& call);

// overlapped: the blocks may start while the launch before still runs, which hides the start. Only
// for kernels whose every thread begins with await_earlier_launches() (element.cuh).
enum class Start : uint8_t { in_order, overlapped };

// Launches that the hardware refuses are errors that name the layer. Pointers may be given as
// void*.
template <Start kStart = Start::in_order, class... Parameters, class... Arguments>
void launch(const Call& call, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            size_t shared_bytes, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;  // nothing to do
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream_of(call);
  cudaLaunchAttribute attribute = {};
  if constexpr (kStart == Start::overlapped) {
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = device_info(call).arch >= 90;  // Hopper's
  }
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...),
        call.name.c_str());
}

// Blocks of `block` threads for `n` elements; grid-stride loops do the rest.
inline dim3 blocks_for(int64_t n, int block, int64_t most = 1 << 20) {
  return dim3(static_cast<unsigned>(std::min((n + block - 1) / block, most)));
}

inline const Shape& shape_of(const Call& call, size_t input) { return call.inputs[input]->shape; }
inline DType dtype_of(const Call& call, size_t input) { return call.inputs[input]->dtype; }
inline bool has(const Call& call, size_t input) {
  return input < call.inputs.size() && call.inputs[input].has_value();
}
inline bool is_compute_type(DType t) {
  return t == DType::f32 || t == DType::bf16 || t == DType::f16;
}

}  // namespace octavo::cuda
