// Parts side by side: rows of neighbouring elements, a pitch apart in the output. Concats of few
// parts may share a launch.
#include <vector>

#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/copy_rows.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

void add_parts(const Call& call, const Buffers& buffers, std::vector<RowsCopy>& copies) {
  const auto axis = static_cast<size_t>(call.attrs.get_int("axis"));
  const Operand& out = call.outputs[0];
  int64_t rows = 1, bytes = element_bytes(out.dtype);
  for (size_t i = 0; i < axis; ++i) rows *= out.shape[i];
  for (size_t i = axis + 1; i < out.shape.size(); ++i) bytes *= out.shape[i];
  auto* to = static_cast<std::byte*>(buffers.outputs[0]);
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const int64_t width = shape_of(call, i)[axis] * bytes;
    copies.push_back({.from = buffers.inputs[i],
                      .to = to,
                      .rows = rows,
                      .width = width,
                      .from_pitch = width,
                      .to_pitch = out.shape[axis] * bytes});
    to += width;
  }
}

void launch_concat(const Call& call, const KernelState*, const Buffers& buffers) {
  std::vector<RowsCopy> copies;
  add_parts(call, buffers, copies);
  for (size_t i = 0; i < copies.size(); i += kMostRowsCopies) {
    copy_rows(call, std::span(copies).subspan(i, std::min(kMostRowsCopies, copies.size() - i)));
  }
}

bool can_group(std::span<const Call* const> calls) {
  size_t parts = 0;
  for (const Call* call : calls) parts += call->inputs.size();
  return parts <= kMostRowsCopies;
}

void launch_group(std::span<const GroupMember> members) {
  std::vector<RowsCopy> copies;
  for (const GroupMember& member : members) add_parts(*member.call, member.buffers, copies);
  copy_rows(*members[0].call, copies);
}

}  // namespace

const Kernel kConcat = {.name = "concat_cuda",
                        .op = Op::concat,
                        .supports = supports_movement,
                        .launch = launch_concat,
                        .can_group = can_group,
                        .launch_group = launch_group};

}  // namespace octavo::cuda
