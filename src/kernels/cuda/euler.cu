// Euler's step between two runs of a model, and the copy of what the next run has its own of.
#include "kernels/cuda/device.h"
#include "kernels/cuda/element.cuh"
#include "kernels/euler.h"

namespace octavo::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int64_t kBytesABlock = kBlock * 16 * 2;

__global__ void euler_kernel(EulerControl* control, float* state, const float* slope, int64_t n,
                             bool guided) {
  await_earlier_launches();
  const EulerControl c = *control;
  const int64_t first = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  const int64_t stride = int64_t{gridDim.x} * kBlock;
  const float factor = c.factors[c.step];
  for (int64_t i = first; i < n; i += stride) {
    float v = slope[i];
    if (guided) {
      const float unconditional = slope[n + i];
      v = unconditional + c.guidance * (v - unconditional);
    }
    const float x = state[i] + factor * v;
    state[i] = x;
    if (guided) state[n + i] = x;
  }
  const uint32_t next = c.step + 1;
  for (uint32_t p = 0; p < c.pieces && next < c.steps; ++p) {
    const StepData piece = c.data[p];
    const auto* from =
        reinterpret_cast<const uint4*>(static_cast<const char*>(piece.first) + next * piece.pitch);
    auto* to = static_cast<uint4*>(piece.to);
    const auto units = static_cast<int64_t>(piece.bytes / sizeof(uint4));
    for (int64_t i = first; i < units; i += stride) to[i] = from[i];
  }
  // All blocks have read the number of the step: the last one counts it.
  __syncthreads();
  __threadfence();
  if (threadIdx.x != 0 || atomicAdd(&control->blocks_done, 1) + 1 < gridDim.x) return;
  control->blocks_done = 0;
  control->step = next;
}

}  // namespace
}  // namespace octavo::cuda

namespace octavo {

void launch_euler(Device& device, const EulerLaunch& l) {
  Call call{};
  call.name = "the sampler's step";
  call.device = &device;
  const int64_t bytes = std::max(l.elements * static_cast<int64_t>(sizeof(float)), l.copied_bytes);
  const int64_t blocks = (bytes + cuda::kBytesABlock - 1) / cuda::kBytesABlock;
  const int64_t most = 4 * device.info().processors;
  cuda::launch<cuda::Start::overlapped>(
      call, cuda::euler_kernel, dim3(static_cast<unsigned>(std::clamp<int64_t>(blocks, 1, most))),
      cuda::kBlock, 0, l.control, l.state, l.slope, l.elements, l.guided);
}

}  // namespace octavo
