// add, sub, mul, div with NumPy broadcasting: neighbouring axes that broadcast alike are merged, so
// that the inner loop runs over as many elements as it can.
#include <algorithm>
#include <array>

#include "base/threads.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/pointwise.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

constexpr size_t kMaxAxes = 16;

// Merged axes, innermost first; a step of 0 repeats the operand.
struct Loop {
  struct Axis {
    int64_t extent, a_step, b_step;
  };
  std::array<Axis, kMaxAxes> axes;
  size_t count = 0;
};

// Extent of an operand on the output's axis `back` places from the last.
int64_t extent_from_back(const Shape& shape, size_t back) {
  return back < shape.size() ? shape[shape.size() - 1 - back] : 1;
}

Loop make_loop(const Shape& out, const Shape& a, const Shape& b) {
  Loop loop;
  loop.axes[loop.count++] = {1, 1, 1};
  int64_t a_stride = 1, b_stride = 1;
  for (size_t back = 0; back < out.size(); ++back) {
    const int64_t extent = extent_from_back(out, back);
    const int64_t a_extent = extent_from_back(a, back), b_extent = extent_from_back(b, back);
    if (extent == 1) continue;
    const int64_t a_step = a_extent == 1 ? 0 : a_stride, b_step = b_extent == 1 ? 0 : b_stride;
    a_stride *= a_extent;
    b_stride *= b_extent;
    Loop::Axis& last = loop.axes[loop.count - 1];
    if (last.extent == 1) {
      last = {extent, a_step, b_step};
    } else if (a_step == last.a_step * last.extent && b_step == last.b_step * last.extent) {
      last.extent *= extent;
    } else {
      loop.axes[loop.count++] = {extent, a_step, b_step};
    }
  }
  return loop;
}

Verdict supports(const Call& call) {
  if (call.outputs[0].shape.size() > kMaxAxes) return Verdict::no("more than 16 axes");
  return all_of({vector_float(call, 0, "a"), vector_float(call, 1, "b")});
}

template <Binary kFunction>
void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const Shape& out = call.outputs[0].shape;
  const int64_t count = element_count(out);
  if (count == 0) return;
  const Loop loop = make_loop(out, shape_of(call, 0), shape_of(call, 1));
  const Loop::Axis inner = loop.axes[0];
  const DType type = call.inputs[0]->dtype;
  const int64_t bytes = info(type).bits / 8;
  const auto* a = static_cast<const std::byte*>(buffers.inputs[0]);
  const auto* b = static_cast<const std::byte*>(buffers.inputs[1]);
  auto* y = static_cast<std::byte*>(buffers.outputs[0]);
  // Elements [begin, end) of the output, cut at the ends of inner runs.
  parallel_for(count, rows_of_chunk(1), [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end;) {
      int64_t a_at = 0, b_at = 0, rest = at / inner.extent;
      const int64_t first = at % inner.extent;
      for (size_t axis = 1; axis < loop.count; ++axis) {
        const int64_t index = rest % loop.axes[axis].extent;
        rest /= loop.axes[axis].extent;
        a_at += index * loop.axes[axis].a_step;
        b_at += index * loop.axes[axis].b_step;
      }
      const int64_t n = std::min(inner.extent - first, end - at);
      binary_span(kFunction, type, a + (a_at + first * inner.a_step) * bytes, inner.a_step,
                  b + (b_at + first * inner.b_step) * bytes, inner.b_step, y + at * bytes, n);
      at += n;
    }
  });
}

template <Binary kFunction>
constexpr Kernel kernel(const char* name, Op op) {
  return {
      .name = name, .op = op, .supports = supports, .launch = launch<kFunction>, .in_place = true};
}

}  // namespace

const Kernel kAddHwy = kernel<Binary::add>("add_hwy", Op::add);
const Kernel kSubHwy = kernel<Binary::sub>("sub_hwy", Op::sub);
const Kernel kMulHwy = kernel<Binary::mul>("mul_hwy", Op::mul);
const Kernel kDivHwy = kernel<Binary::div>("div_hwy", Op::div);

}  // namespace octavo::cpu
