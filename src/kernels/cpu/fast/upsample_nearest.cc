// upsample_nearest: rows are widened, then repeated.
#include <algorithm>

#include "base/threads.h"
#include "kernels/cpu/fast/element_bytes.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/support.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

// One row widened by `factor`, then repeated.
template <class T>
void upsample_row(const T* src, T* dst, int64_t width, int64_t factor) {
  for (int64_t i = 0; i < width; ++i) {
    for (int64_t f = 0; f < factor; ++f) dst[i * factor + f] = src[i];
  }
  const int64_t wide = width * factor;
  for (int64_t f = 1; f < factor; ++f) std::copy(dst, dst + wide, dst + f * wide);
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
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

const Kernel kUpsampleRows = {.name = "upsample_nearest_rows",
                              .op = Op::upsample_nearest,
                              .supports = supports_movement,
                              .launch = launch};

}  // namespace octavo::cpu
