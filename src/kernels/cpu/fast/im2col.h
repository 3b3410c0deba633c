#pragma once
// The operand of a convolution as a matrix: one row a tap (c, kh, kw), one column an output pixel.
#include <cstddef>
#include <cstdint>

namespace octavo::cpu {

struct ConvExtents {
  int64_t batch, channels, height, width;
  int64_t filters, kernel_h, kernel_w, stride, top, left, out_height, out_width;

  int64_t depth() const { return channels * kernel_h * kernel_w; }
  int64_t pixels() const { return out_height * out_width; }
  // Taps are the channels themselves: pixels need no rearrangement.
  bool is_pointwise() const {
    return kernel_h == 1 && kernel_w == 1 && stride == 1 && top == 0 && left == 0 &&
           out_height == height && out_width == width;
  }
};

// dst[depth][count] from one sample x[channels][height][width], for output pixels
// [pixel, pixel + count). Elements of 1 or 4 bytes; outside of the picture they are 0.
void im2col(const ConvExtents& conv, int64_t element_bytes, const void* x, int64_t pixel,
            int64_t count, void* dst);

}  // namespace octavo::cpu
