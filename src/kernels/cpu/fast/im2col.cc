#include "kernels/cpu/fast/im2col.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace octavo::cpu {
namespace {

// Columns [first, first + count) of one output row, for one tap: x is the input row (or nullptr
// outside of the picture), shift = kw - left.
template <class T>
void copy_line(const ConvExtents& conv, const T* x, int64_t shift, int64_t first, int64_t count,
               T* dst) {
  if (!x) {
    std::fill(dst, dst + count, T{0});
    return;
  }
  const int64_t stride = conv.stride;
  // Inside of the picture where 0 <= ow * stride + shift < width.
  const int64_t low = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
  const int64_t room = conv.width - shift;
  const int64_t high = room <= 0 ? 0 : (room + stride - 1) / stride;
  const int64_t begin = std::clamp(low, first, first + count);
  const int64_t end = std::clamp(high, begin, first + count);
  std::fill(dst, dst + (begin - first), T{0});
  if (stride == 1) {
    std::memcpy(dst + (begin - first), x + begin + shift,
                static_cast<size_t>(end - begin) * sizeof(T));
  } else {
    for (int64_t ow = begin; ow < end; ++ow) dst[ow - first] = x[ow * stride + shift];
  }
  std::fill(dst + (end - first), dst + count, T{0});
}

template <class T>
void im2col_typed(const ConvExtents& conv, const T* x, int64_t pixel, int64_t count, T* dst) {
  for (int64_t c = 0; c < conv.channels; ++c) {
    const T* plane = x + c * conv.height * conv.width;
    for (int64_t kh = 0; kh < conv.kernel_h; ++kh) {
      for (int64_t kw = 0; kw < conv.kernel_w; ++kw) {
        for (int64_t done = 0; done < count;) {
          const int64_t oh = (pixel + done) / conv.out_width;
          const int64_t ow = (pixel + done) % conv.out_width;
          const int64_t run = std::min(count - done, conv.out_width - ow);
          const int64_t ih = oh * conv.stride - conv.top + kh;
          const bool inside = ih >= 0 && ih < conv.height;
          copy_line(conv, inside ? plane + ih * conv.width : nullptr, kw - conv.left, ow, run,
                    dst + done);
          done += run;
        }
        dst += count;
      }
    }
  }
}

}  // namespace

void im2col(const ConvExtents& conv, int64_t element_bytes, const void* x, int64_t pixel,
            int64_t count, void* dst) {
  if (element_bytes == 1) {
    return im2col_typed(conv, static_cast<const uint8_t*>(x), pixel, count,
                        static_cast<uint8_t*>(dst));
  }
  OCTAVO_ASSERT(element_bytes == 4);
  im2col_typed(conv, static_cast<const uint32_t*>(x), pixel, count, static_cast<uint32_t*>(dst));
}

}  // namespace octavo::cpu
