// transpose: long runs are copied, others go through small squares, so that reads and writes both
// stay within a few cache lines.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/threads.h"
#include "kernels/cpu/fast/element_bytes.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/support.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

constexpr size_t kMaxAxes = 16;
constexpr int64_t kChunkBytes = 1 << 16;

// Axes of the output, innermost first, neighbours that are contiguous in the input merged.
struct Walk {
  struct Axis {
    int64_t extent, in_step, out_step;
  };
  std::array<Axis, kMaxAxes> axes;
  size_t count = 0;
};

Walk make_walk(const Shape& shape, const std::vector<int64_t>& perm) {
  const std::vector<int64_t> strides = dense_strides(shape);
  Walk walk;
  int64_t out_step = 1;
  for (size_t back = perm.size(); back-- > 0;) {
    const auto from = static_cast<size_t>(perm[back]);
    const int64_t extent = shape[from];
    if (extent != 1) {
      Walk::Axis* last = walk.count ? &walk.axes[walk.count - 1] : nullptr;
      if (last && strides[from] == last->in_step * last->extent) {
        last->extent *= extent;
      } else {
        walk.axes[walk.count++] = {extent, strides[from], out_step};
      }
    }
    out_step *= extent;
  }
  if (walk.count == 0) walk.axes[walk.count++] = {1, 1, 1};
  return walk;
}

// dst[r][c] = src[c][r], rows `dst_step` and `src_step` elements apart.
template <class T>
void transpose_square(const T* src, int64_t src_step, T* dst, int64_t dst_step, int64_t rows,
                      int64_t cols) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) dst[r * dst_step + c] = src[c * src_step + r];
  }
}

// The innermost output axis against the axis that is contiguous in the input.
template <class T>
void transpose_plane(const T* src, T* dst, const Walk::Axis& inner, const Walk::Axis& other) {
  constexpr int64_t kSide = 32;
  for (int64_t r = 0; r < other.extent; r += kSide) {
    for (int64_t c = 0; c < inner.extent; c += kSide) {
      transpose_square(src + c * inner.in_step + r, inner.in_step, dst + r * other.out_step + c,
                       other.out_step, std::min(kSide, other.extent - r),
                       std::min(kSide, inner.extent - c));
    }
  }
}

template <class T>
void transpose(const Walk& walk, const T* src, T* dst) {
  const Walk::Axis inner = walk.axes[0];
  size_t contiguous = 0;
  while (walk.axes[contiguous].in_step != 1) ++contiguous;
  const Walk::Axis other = contiguous == 0 ? Walk::Axis{1, 1, 1} : walk.axes[contiguous];
  int64_t outer = 1;
  for (size_t axis = 1; axis < walk.count; ++axis) {
    if (axis != contiguous) outer *= walk.axes[axis].extent;
  }
  const int64_t plane = inner.extent * other.extent * static_cast<int64_t>(sizeof(T));
  parallel_for(outer, std::max<int64_t>(1, kChunkBytes / plane), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t from = 0, to = 0, rest = i;
      for (size_t axis = 1; axis < walk.count; ++axis) {
        if (axis == contiguous) continue;
        from += rest % walk.axes[axis].extent * walk.axes[axis].in_step;
        to += rest % walk.axes[axis].extent * walk.axes[axis].out_step;
        rest /= walk.axes[axis].extent;
      }
      if (contiguous == 0) {
        std::memcpy(dst + to, src + from, static_cast<size_t>(plane));
      } else {
        transpose_plane(src + from, dst + to, inner, other);
      }
    }
  });
}

Verdict supports(const Call& call) {
  if (shape_of(call, 0).size() > kMaxAxes) return Verdict::no("more than 16 axes");
  return supports_movement(call);
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  if (element_count(call.outputs[0].shape) == 0) return;
  const Walk walk = make_walk(shape_of(call, 0), call.attrs.get_ints("perm"));
  dispatch_bytes(element_bytes(call.outputs[0].dtype), [&](auto type) {
    using T = decltype(type);
    transpose(walk, static_cast<const T*>(buffers.inputs[0]), static_cast<T*>(buffers.outputs[0]));
  });
}

}  // namespace

const Kernel kTransposeBlocked = {
    .name = "transpose_blocked", .op = Op::transpose, .supports = supports, .launch = launch};

}  // namespace octavo::cpu
