// The value that belongs to the step nearest to each sample's timestep; of two that are equally
// near, the lower's. Beyond the ends the end's.
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

enum Input : size_t { kT, kSteps, kValues };

constexpr int kBlock = 128;

// The first step that is not below t; `count` if there is none.
__device__ int64_t first_from(const float* steps, int64_t count, double t) {
  int64_t begin = 0, end = count;
  while (begin < end) {
    const int64_t middle = (begin + end) / 2;
    steps[middle] < t ? begin = middle + 1 : end = middle;
  }
  return begin;
}

__global__ void step_scale_kernel(const float* t, const float* steps, const float* values, float* y,
                                  int64_t samples, int64_t count) {
  await_earlier_launches();
  const int64_t b = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (b >= samples) return;
  const double at = t[b];
  int64_t k = first_from(steps, count, at);
  if (k == count) {
    --k;
  } else if (k > 0 && at - steps[k - 1] <= steps[k] - at) {
    --k;
  }
  y[b] = values[k];
}

Verdict supports(const Call& call) {
  for (const size_t i : {kT, kSteps, kValues}) {
    if (dtype_of(call, i) != DType::f32) {
      return Verdict::no("input " + std::to_string(i) + " is not f32");
    }
  }
  if (call.outputs[0].dtype != DType::f32) return Verdict::no("the output is not f32");
  if (shape_of(call, kSteps)[0] == 0) return Verdict::no("there are no steps");
  return Verdict::yes();
}

void launch_step_scale(const Call& call, const KernelState*, const Buffers& buffers) {
  const int64_t samples = shape_of(call, kT)[0];
  launch<Start::overlapped>(call, step_scale_kernel, blocks_for(samples, kBlock), kBlock, 0,
                            buffers.inputs[kT], buffers.inputs[kSteps], buffers.inputs[kValues],
                            buffers.outputs[0], samples, shape_of(call, kSteps)[0]);
}

}  // namespace

const Kernel kStepScale = {.name = "step_scale_cuda",
                           .op = Op::step_scale,
                           .supports = supports,
                           .launch = launch_step_scale};

}  // namespace octavo::cuda
