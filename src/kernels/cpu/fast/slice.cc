// slice: one run of memory for each index of the axes before the sliced one.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/threads.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/support.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

constexpr int64_t kChunkBytes = 1 << 16;

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const auto axis = static_cast<size_t>(call.attrs.get_int("axis"));
  const int64_t begin = call.attrs.get_int("begin"), end = call.attrs.get_int("end");
  const Shape &shape = shape_of(call, 0), &out = call.outputs[0].shape;
  OCTAVO_CHECK(0 <= begin && begin <= end && end <= shape[axis],
               "[{}] slice [{}, {}) is outside of axis {} of {}", call.name, begin, end, axis,
               to_string(shape));
  const int64_t element = element_bytes(call.outputs[0].dtype);
  const int64_t inner = extent(out, axis + 1, out.size()) * element;
  const int64_t run = (end - begin) * inner, pitch = shape[axis] * inner;
  if (run == 0) return;
  const auto* src = static_cast<const std::byte*>(buffers.inputs[0]) + begin * inner;
  auto* dst = static_cast<std::byte*>(buffers.outputs[0]);
  parallel_for(extent(out, 0, axis), std::max<int64_t>(1, kChunkBytes / run),
               [&](int64_t first, int64_t last) {
                 for (int64_t i = first; i < last; ++i) {
                   std::memcpy(dst + i * run, src + i * pitch, static_cast<size_t>(run));
                 }
               });
}

}  // namespace

const Kernel kSliceCopy = {
    .name = "slice_copy", .op = Op::slice, .supports = supports_movement, .launch = launch};

}  // namespace octavo::cpu
