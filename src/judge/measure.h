#pragma once
// Error measures between a reference and a test tensor. Sums in double, fixed order.
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace octavo {

struct ErrorMeasures {
  double rel_l2 = 0;            // |a - b| / |a|
  double max_abs = 0;           // largest |a - b|
  int64_t worst_index = -1;     // where
  double snr_db = 0;            // 20 log10(|a| / |a - b|)
  double exact = 0;             // share of equal elements
  double rounded_to_zero = 0;   // share of non-zero reference elements that are zero in the test
  double outlier_weighted = 0;  // sum |a||a-b| / sum a^2: errors where the values are large
  int64_t non_finite = 0;       // in either
};
ErrorMeasures measure(const Tensor& reference, const Tensor& test);  // Error on other shapes

// Pictures [3, H, W] in [-1, 1] (peak 2): PSNR as zoo/sensitivity.py's report() computes it, SSIM
// as Wang et al. 2004 (11x11 Gaussian window, sigma 1.5, K1 0.01, K2 0.03, on the mean over
// channels of per-channel SSIM, valid region).
double psnr(const Tensor& reference, const Tensor& test);
double ssim(const Tensor& reference, const Tensor& test);

// Percentile bootstrap of the mean: [low, high] at `confidence`, deterministic for a seed.
struct Interval {
  double mean = 0, low = 0, high = 0;
};
Interval bootstrap_mean(const std::vector<double>& values, double confidence = 0.95,
                        int resamples = 2000, uint64_t seed = 1);

}  // namespace octavo
