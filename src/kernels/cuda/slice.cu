// [begin, end) of one axis.
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

void launch_slice(const Call& call, const KernelState*, const Buffers& buffers) {
  const auto axis = static_cast<size_t>(call.attrs.get_int("axis"));
  const int64_t begin = call.attrs.get_int("begin"), end = call.attrs.get_int("end");
  const Shape &in = shape_of(call, 0), &out = call.outputs[0].shape;
  if (begin < 0 || begin > end || end > in[axis]) {
    fail(call, "slice [" + std::to_string(begin) + ", " + std::to_string(end) +
                   ") is outside of axis " + std::to_string(axis) + " of " + to_string(in));
  }
  const auto steps = dense_steps(in);
  const int64_t bytes = element_bytes(dtype_of(call, 0));
  Axes<1> axes;
  for (size_t i = 0; i < out.size(); ++i) axes.push_back({out[i], {steps[i]}});
  strided_copy(call, axes, bytes,
               static_cast<const std::byte*>(buffers.inputs[0]) + begin * steps[axis] * bytes,
               buffers.outputs[0]);
}

}  // namespace

const Kernel kSlice = {
    .name = "slice_cuda", .op = Op::slice, .supports = supports_movement, .launch = launch_slice};

}  // namespace octavo::cuda
