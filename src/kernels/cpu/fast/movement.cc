// slice, transpose and upsample_nearest of elements of 1, 2, 4 or 8 bytes. Long runs are copied,
// others go through small squares, so that reads and writes both stay within a few cache lines.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/threads.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/support.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

constexpr size_t kMaxAxes = 16;
constexpr int64_t kChunkBytes = 1 << 16;

// f(T()) with an integer type of the element's size.
template <class F>
void dispatch_bytes(int64_t bytes, const F& f) {
  switch (bytes) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      OCTAVO_ASSERT(bytes == 8);
      return f(uint64_t{});
  }
}

void launch_slice(const Call& call, const KernelState*, const Buffers& buffers) {
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

// dst[i * wide] = src[i], both n x m: rows of `src` are columns of `dst`.
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

Verdict supports_transpose(const Call& call) {
  if (shape_of(call, 0).size() > kMaxAxes) return Verdict::no("more than 16 axes");
  return supports_movement(call);
}

void launch_transpose(const Call& call, const KernelState*, const Buffers& buffers) {
  if (element_count(call.outputs[0].shape) == 0) return;
  const Walk walk = make_walk(shape_of(call, 0), call.attrs.get_ints("perm"));
  dispatch_bytes(element_bytes(call.outputs[0].dtype), [&](auto type) {
    using T = decltype(type);
    transpose(walk, static_cast<const T*>(buffers.inputs[0]), static_cast<T*>(buffers.outputs[0]));
  });
}

// One row widened by `factor`, then repeated.
template <class T>
void upsample_row(const T* src, T* dst, int64_t width, int64_t factor) {
  for (int64_t i = 0; i < width; ++i) {
    for (int64_t f = 0; f < factor; ++f) dst[i * factor + f] = src[i];
  }
  const int64_t wide = width * factor;
  for (int64_t f = 1; f < factor; ++f) std::copy(dst, dst + wide, dst + f * wide);
}

void launch_upsample(const Call& call, const KernelState*, const Buffers& buffers) {
  const int64_t factor = call.attrs.get_int("factor");
  const Shape& shape = shape_of(call, 0);
  const int64_t width = shape[3], rows = shape[0] * shape[1] * shape[2];
  if (width == 0) return;
  dispatch_bytes(element_bytes(call.outputs[0].dtype), [&](auto type) {
    using T = decltype(type);
    const T* src = static_cast<const T*>(buffers.inputs[0]);
    T* dst = static_cast<T*>(buffers.outputs[0]);
    parallel_for(rows, rows_of_chunk(width * factor), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        upsample_row(src + row * width, dst + row * width * factor * factor, width, factor);
      }
    });
  });
}

}  // namespace

const Kernel kSliceCopy = {
    .name = "slice_copy", .op = Op::slice, .supports = supports_movement, .launch = launch_slice};
const Kernel kTransposeBlocked = {.name = "transpose_blocked",
                                  .op = Op::transpose,
                                  .supports = supports_transpose,
                                  .launch = launch_transpose};
const Kernel kUpsampleRows = {.name = "upsample_nearest_rows",
                              .op = Op::upsample_nearest,
                              .supports = supports_movement,
                              .launch = launch_upsample};

}  // namespace octavo::cpu
