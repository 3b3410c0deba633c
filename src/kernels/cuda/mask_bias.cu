// 0 where the mask is set (not zero), the lowest f32 where it is not.
#include <cfloat>

#include "kernels/cuda/map.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

template <class T>
struct Bias {
  __device__ float operator()(T mask) const { return mask != 0 ? 0.0f : -FLT_MAX; }
};

Verdict supports(const Call& call) {
  const DType mask = dtype_of(call, 0);
  if (mask == DType::i64 || mask == DType::boolean || mask == DType::f32) return Verdict::yes();
  return Verdict::no("mask is " + std::string(name(mask)) + ", not i64, bool or f32");
}

template <class T>
void launch_of(const Call& call, const Buffers& buffers) {
  launch_map<float, T>(call, buffers.inputs[0], buffers.outputs[0],
                       element_count(call.outputs[0].shape), Bias<T>{});
}

void launch_mask_bias(const Call& call, const KernelState*, const Buffers& buffers) {
  const DType mask = dtype_of(call, 0);
  if (mask == DType::i64) return launch_of<int64_t>(call, buffers);
  if (mask == DType::boolean) return launch_of<uint8_t>(call, buffers);
  launch_of<float>(call, buffers);
}

}  // namespace

const Kernel kMaskBias = {.name = "mask_bias_cuda",
                          .op = Op::mask_bias,
                          .supports = supports,
                          .launch = launch_mask_bias};

}  // namespace octavo::cuda
