#pragma once
// Inner products of reference kernels.
#include <algorithm>
#include <cstdint>

namespace octavo::cpu {

// out[j] = sum_k x[k] * w[j * stride + k] for j in [0, n), each in double in order of k. Eight sums
// run side by side only to keep the adders busy.
inline void dot_rows(const float* x, const float* w, int64_t stride, int64_t k, int64_t n,
                     double* out) {
  constexpr int64_t kSide = 8;
  for (int64_t j = 0; j < n; j += kSide) {
    const int64_t count = std::min(kSide, n - j);
    double sums[kSide] = {};
    for (int64_t i = 0; i < k; ++i) {
      const double xi = x[i];
      const float* column = w + j * stride + i;
      if (count == kSide) {
        for (int64_t s = 0; s < kSide; ++s) sums[s] += xi * column[s * stride];
      } else {
        for (int64_t s = 0; s < count; ++s) sums[s] += xi * column[s * stride];
      }
    }
    std::copy(sums, sums + count, out + j);
  }
}

}  // namespace octavo::cpu
