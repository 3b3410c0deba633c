// Rows of all parts side by side, in one launch.
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr size_t kMaxParts = 64;

// Unit i of the output -> the part that holds it, whose rows are the units [begin, end).
template <class U>
struct Parts {
  Divisor row;  // units of a row of the output
  int count = 0;
  struct {
    const U* data;
    int64_t begin, end;
  } part[kMaxParts];

  __device__ U operator()(int64_t i) const {
    const int64_t r = row.quotient(i), at = i - r * row.value;
    int p = 0;
    while (at >= part[p].end) ++p;
    return part[p].data[r * (part[p].end - part[p].begin) + at - part[p].begin];
  }
};

// Bytes of a row of a part: the axis and those within.
int64_t row_bytes_of(const Shape& shape, size_t axis, DType dtype) {
  int64_t bytes = element_bytes(dtype);
  for (; axis < shape.size(); ++axis) bytes *= shape[axis];
  return bytes;
}

Verdict supports(const Call& call) {
  if (call.inputs.size() > kMaxParts) {
    return Verdict::no("more than " + std::to_string(kMaxParts) + " parts");
  }
  return supports_movement(call);
}

void launch_concat(const Call& call, const KernelState*, const Buffers& buffers) {
  const auto axis = static_cast<size_t>(call.attrs.get_int("axis"));
  const Operand& out = call.outputs[0];
  const int64_t n = element_count(out.shape) * element_bytes(out.dtype);
  if (n == 0) return;
  CommonUnit unit;
  unit.divides(buffers.outputs[0]);
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const int64_t bytes = row_bytes_of(shape_of(call, i), axis, out.dtype);
    if (bytes > 0) unit.divides(buffers.inputs[i]).divides(bytes);
  }
  with_unit(unit.bytes(), [&](auto type) {
    using U = typename decltype(type)::type;
    Parts<U> parts;
    int64_t end = 0;
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      const int64_t begin = end;
      end += row_bytes_of(shape_of(call, i), axis, out.dtype) / unit.bytes();
      if (end > begin) {
        parts.part[parts.count++] = {static_cast<const U*>(buffers.inputs[i]), begin, end};
      }
    }
    parts.row = Divisor(end);
    launch_copy<U>(call, buffers.outputs[0], n / unit.bytes(), parts);
  });
}

}  // namespace

const Kernel kConcat = {
    .name = "concat_cuda", .op = Op::concat, .supports = supports, .launch = launch_concat};

}  // namespace octavo::cuda
