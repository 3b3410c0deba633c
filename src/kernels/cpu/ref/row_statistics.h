#pragma once
// Means over one row, in double.
#include <cmath>
#include <cstdint>

namespace octavo::cpu {

// 1 / sqrt(mean(x^2) + eps)
inline double inverse_rms(const float* x, int64_t n, double eps) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * x[i];
  return 1.0 / std::sqrt(sum / static_cast<double>(n) + eps);
}

// (x - mean) * inverse_deviation with the biased variance, taken in a second pass over x - mean.
struct Moments {
  double mean, inverse_deviation;
};
inline Moments moments(const float* x, int64_t n, double eps) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  const double mean = sum / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  return {mean, 1.0 / std::sqrt(squares / static_cast<double>(n) + eps)};
}

}  // namespace octavo::cpu
