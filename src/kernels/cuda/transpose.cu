// Axis a of the output is axis perm[a] of the input.
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

void launch_transpose(const Call& call, const KernelState*, const Buffers& buffers) {
  const Shape& in = shape_of(call, 0);
  const auto steps = dense_steps(in);
  Axes<1> axes;
  for (const int64_t axis : call.attrs.get_ints("perm")) {
    axes.push_back({in[static_cast<size_t>(axis)], {steps[static_cast<size_t>(axis)]}});
  }
  strided_copy(call, axes, element_bytes(dtype_of(call, 0)), buffers.inputs[0], buffers.outputs[0]);
}

}  // namespace

const Kernel kTranspose = {.name = "transpose_cuda",
                           .op = Op::transpose,
                           .supports = supports_movement,
                           .launch = launch_transpose};

}  // namespace octavo::cuda
