// NumPy's broadcast_to.
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const Shape &in = shape_of(call, 0), &out = call.outputs[0].shape;
  const auto strides = dense_strides(in);
  Strided from{out, std::vector<int64_t>(out.size(), 0)};
  const size_t added = out.size() - in.size();
  for (size_t axis = 0; axis < in.size(); ++axis) {
    from.strides[added + axis] = in[axis] == 1 ? 0 : strides[axis];
  }
  strided_copy(from, element_bytes(call.outputs[0].dtype), buffers.inputs[0], buffers.outputs[0]);
}

}  // namespace

const Kernel kExpandRef = {
    .name = "expand_ref", .op = Op::expand, .supports = supports_movement, .launch = launch};

}  // namespace octavo::cpu
