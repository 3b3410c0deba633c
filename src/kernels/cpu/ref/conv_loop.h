#pragma once
// The loop nest of reference convolutions.
#include "kernels/cpu/ref/operands.h"

namespace octavo::cpu {

struct ConvShape {
  // x[B, C, H, W], w[N, C, kh, kw], attributes stride and pads (top, left, bottom, right).
  ConvShape(const Call& call, size_t x, size_t w);
  int64_t batch, channels, height, width, filters, kernel_h, kernel_w, stride, top, left;
  int64_t out_height, out_width;
};

// store(n, index into the output, sum over c, kh, kw of x * weight(n, c*kh*kw, index into w)), the
// sum in double in that order.
template <class Weight, class Store>
void conv_loop(const ConvShape& s, const float* x, const Weight& weight, const Store& store) {
  const int64_t taps = s.channels * s.kernel_h * s.kernel_w;
  for_rows(s.batch * s.filters * s.out_height, taps * s.out_width, [&](int64_t row) {
    const int64_t oh = row % s.out_height, n = row / s.out_height % s.filters;
    const int64_t b = row / s.out_height / s.filters;
    double* sums = scratch(s.out_width);
    std::fill(sums, sums + s.out_width, 0.0);
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t kw = tap % s.kernel_w, kh = tap / s.kernel_w % s.kernel_h;
      const int64_t c = tap / s.kernel_w / s.kernel_h;
      const int64_t ih = oh * s.stride - s.top + kh, shift = kw - s.left;
      if (ih < 0 || ih >= s.height) continue;
      const float* line = x + ((b * s.channels + c) * s.height + ih) * s.width;
      const double w = weight(n, tap, n * taps + tap);
      // Outputs whose tap lies inside the line: 0 <= ow * stride + shift < width.
      const int64_t first = shift >= 0 ? 0 : (-shift + s.stride - 1) / s.stride;
      const int64_t inside = s.width - shift;
      const int64_t end =
          std::min(s.out_width, inside <= 0 ? 0 : (inside + s.stride - 1) / s.stride);
      for (int64_t ow = first; ow < end; ++ow) sums[ow] += line[ow * s.stride + shift] * w;
    }
    for (int64_t ow = 0; ow < s.out_width; ++ow) store(n, row * s.out_width + ow, sums[ow]);
  });
}

}  // namespace octavo::cpu
