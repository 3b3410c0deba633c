// silu, affine, clamp: one element in, one element out.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

template <class T>
struct Silu {
  __device__ T operator()(T x) const { return from_float<T>(silu(to_float(x))); }
};

template <class T>
struct Affine {
  float scale, shift;
  __device__ T operator()(T x) const { return from_float<T>(fmaf(to_float(x), scale, shift)); }
};

// Elements, not values, are chosen: NaN stays with its bits.
template <class T>
struct Clamp {
  float min, max;
  __device__ T operator()(T element) const {
    const float x = to_float(element);
    return x < min ? from_float<T>(min) : x > max ? from_float<T>(max) : element;
  }
};

Verdict supports(const Call& call) {
  if (!is_compute_type(dtype_of(call, 0))) return Verdict::no("x is not f32, f16 or bf16");
  return Verdict::yes();
}

template <template <class> class F, class... Parameters>
void launch_unary(const Call& call, const Buffers& buffers, Parameters... parameters) {
  with_compute_type(dtype_of(call, 0), [&](auto type) {
    using T = typename decltype(type)::type;
    launch_map<T, T>(call, buffers.inputs[0], buffers.outputs[0],
                     element_count(call.outputs[0].shape), F<T>{parameters...});
  });
}

float real(const Call& call, const char* key) {
  return static_cast<float>(call.attrs.get_double(key));
}

void launch_silu(const Call& call, const KernelState*, const Buffers& buffers) {
  launch_unary<Silu>(call, buffers);
}
void launch_affine(const Call& call, const KernelState*, const Buffers& buffers) {
  launch_unary<Affine>(call, buffers, real(call, "scale"), real(call, "shift"));
}
void launch_clamp(const Call& call, const KernelState*, const Buffers& buffers) {
  launch_unary<Clamp>(call, buffers, real(call, "min"), real(call, "max"));
}

}  // namespace

const Kernel kSilu = {.name = "silu_cuda",
                      .op = Op::silu,
                      .supports = supports,
                      .launch = launch_silu,
                      .in_place = true};
const Kernel kAffine = {.name = "affine_cuda",
                        .op = Op::affine,
                        .supports = supports,
                        .launch = launch_affine,
                        .in_place = true};
const Kernel kClamp = {.name = "clamp_cuda",
                       .op = Op::clamp,
                       .supports = supports,
                       .launch = launch_clamp,
                       .in_place = true};

}  // namespace octavo::cuda
