// One element in, one element out.
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

struct Silu {
  __device__ float operator()(float x) const { return x / (1.0f + expf(-x)); }
};

template <class T, class F>
__global__ void unary_kernel(const T* x, T* y, int64_t n, F f) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += stride) {
    y[i] = from_float<T>(f(to_float(x[i])));
  }
}

constexpr int kBlock = 256;

template <class F>
void launch_unary(const Call& call, const Buffers& buffers, F f) {
  const int64_t n = element_count(call.outputs[0].shape);
  with_compute_type(dtype_of(call, 0), [&](auto type) {
    using T = typename decltype(type)::type;
    launch(call, unary_kernel<T, F>, blocks_for(n, kBlock), kBlock, 0, buffers.inputs[0],
           buffers.outputs[0], n, f);
  });
}

Verdict supports(const Call& call) {
  if (!is_compute_type(dtype_of(call, 0))) return Verdict::no("x is not a compute type");
  return Verdict::yes();
}

}  // namespace

const Kernel kSilu = {
    .name = "silu_cuda",
    .op = Op::silu,
    .supports = supports,
    .launch = [](const Call& call, const KernelState*,
                 const Buffers& buffers) { launch_unary(call, buffers, Silu{}); },
    .in_place = true};

}  // namespace octavo::cuda
