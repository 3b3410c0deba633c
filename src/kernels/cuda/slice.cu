// [begin, end) of one axis: rows of neighbouring elements, a pitch apart. Several slices may share
// a launch.
#include <vector>

#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/copy_rows.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

RowsCopy copy_of(const Call& call, const Buffers& buffers) {
  const auto axis = static_cast<size_t>(call.attrs.get_int("axis"));
  const int64_t begin = call.attrs.get_int("begin"), end = call.attrs.get_int("end");
  const Shape& in = shape_of(call, 0);
  if (begin < 0 || begin > end || end > in[axis]) {
    fail(call, "slice [" + std::to_string(begin) + ", " + std::to_string(end) +
                   ") is outside of axis " + std::to_string(axis) + " of " + to_string(in));
  }
  int64_t rows = 1, bytes = element_bytes(dtype_of(call, 0));
  for (size_t i = 0; i < axis; ++i) rows *= in[i];
  for (size_t i = axis + 1; i < in.size(); ++i) bytes *= in[i];
  return {.from = static_cast<const std::byte*>(buffers.inputs[0]) + begin * bytes,
          .to = buffers.outputs[0],
          .rows = rows,
          .width = (end - begin) * bytes,
          .from_pitch = in[axis] * bytes,
          .to_pitch = (end - begin) * bytes};
}

void launch_slice(const Call& call, const KernelState*, const Buffers& buffers) {
  const RowsCopy copy = copy_of(call, buffers);
  copy_rows(call, {&copy, 1});
}

void launch_group(std::span<const GroupMember> members) {
  std::vector<RowsCopy> copies;
  for (const GroupMember& member : members) copies.push_back(copy_of(*member.call, member.buffers));
  copy_rows(*members[0].call, copies);
}

}  // namespace

const Kernel kSlice = {
    .name = "slice_cuda",
    .op = Op::slice,
    .supports = supports_movement,
    .launch = launch_slice,
    .can_group = [](std::span<const Call* const> calls) { return calls.size() <= kMostRowsCopies; },
    .launch_group = launch_group};

}  // namespace octavo::cuda
