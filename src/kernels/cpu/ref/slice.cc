// [begin, end) of one axis.
#include "base/check.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const auto axis = static_cast<size_t>(call.attrs.get_int("axis"));
  const int64_t begin = call.attrs.get_int("begin"), end = call.attrs.get_int("end");
  const Shape& shape = shape_of(call, 0);
  OCTAVO_CHECK(0 <= begin && begin <= end && end <= shape[axis],
               "[{}] slice [{}, {}) is outside of axis {} of {}", call.name, begin, end, axis,
               to_string(shape));
  Strided from{call.outputs[0].shape, dense_strides(shape)};
  from.begin = begin * from.strides[axis];
  strided_copy(from, element_bytes(call.outputs[0].dtype), buffers.inputs[0], buffers.outputs[0]);
}

}  // namespace

const Kernel kSliceRef = {
    .name = "slice_ref", .op = Op::slice, .supports = supports_movement, .launch = launch};

}  // namespace octavo::cpu
