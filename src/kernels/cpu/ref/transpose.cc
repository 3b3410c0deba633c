// Axis a of the output is axis perm[a] of the input.
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const auto strides = dense_strides(shape_of(call, 0));
  Strided from{call.outputs[0].shape, {}};
  for (const int64_t axis : call.attrs.get_ints("perm")) {
    from.strides.push_back(strides[static_cast<size_t>(axis)]);
  }
  strided_copy(from, element_bytes(call.outputs[0].dtype), buffers.inputs[0], buffers.outputs[0]);
}

}  // namespace

const Kernel kTransposeRef = {
    .name = "transpose_ref", .op = Op::transpose, .supports = supports_movement, .launch = launch};

}  // namespace octavo::cpu
