// NumPy's broadcast_to.
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

void launch_expand(const Call& call, const KernelState*, const Buffers& buffers) {
  const Shape& out = call.outputs[0].shape;
  const auto steps = broadcast_steps(shape_of(call, 0), out);
  Axes<1> axes;
  for (size_t i = 0; i < out.size(); ++i) axes.push_back({out[i], {steps[i]}});
  strided_copy(call, axes, element_bytes(dtype_of(call, 0)), buffers.inputs[0], buffers.outputs[0]);
}

}  // namespace

const Kernel kExpand = {.name = "expand_cuda",
                        .op = Op::expand,
                        .supports = supports_movement,
                        .launch = launch_expand};

}  // namespace octavo::cuda
