#include "judge/measure.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace octavo {

ErrorMeasures measure(const Tensor& reference, const Tensor& test) {
  OCTAVO_CHECK(reference.shape() == test.shape(), "[compare] shapes differ: {} and {}",
               to_string(reference.shape()), to_string(test.shape()));
  const std::vector<float> a = reference.to_floats(), b = test.to_floats();
  ErrorMeasures m;
  double sum_aa = 0, sum_ee = 0, weighted = 0;
  int64_t equal = 0, zeroed = 0, nonzero = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) {
      ++m.non_finite;
      continue;
    }
    const double x = a[i], error = std::abs(x - b[i]);
    sum_aa += x * x;
    sum_ee += error * error;
    weighted += std::abs(x) * error;
    equal += a[i] == b[i];
    nonzero += a[i] != 0;
    zeroed += a[i] != 0 && b[i] == 0;
    if (m.worst_index < 0 || error > m.max_abs) {
      m.max_abs = error;
      m.worst_index = static_cast<int64_t>(i);
    }
  }
  const double infinity = std::numeric_limits<double>::infinity();
  if (!a.empty()) m.exact = static_cast<double>(equal) / static_cast<double>(a.size());
  if (nonzero > 0) m.rounded_to_zero = static_cast<double>(zeroed) / static_cast<double>(nonzero);
  if (m.non_finite > 0) {
    m.rel_l2 = m.max_abs = m.outlier_weighted = infinity;
    m.snr_db = -infinity;
    return m;
  }
  m.rel_l2 = sum_ee == 0 ? 0 : (sum_aa == 0 ? infinity : std::sqrt(sum_ee / sum_aa));
  m.outlier_weighted = weighted == 0 ? 0 : weighted / sum_aa;
  m.snr_db = m.rel_l2 == 0 ? infinity : -20 * std::log10(m.rel_l2);
  return m;
}

double psnr(const Tensor& reference, const Tensor& test) {
  OCTAVO_CHECK(reference.shape() == test.shape(), "[psnr] shapes differ: {} and {}",
               to_string(reference.shape()), to_string(test.shape()));
  const std::vector<float> a = reference.to_floats(), b = test.to_floats();
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = static_cast<double>(a[i]) - b[i];
    sum += error * error;
  }
  const double mse = std::max(sum / static_cast<double>(std::max<size_t>(a.size(), 1)), 1e-20);
  return 10 * std::log10(4 / mse);  // peak to peak 2
}

namespace {

constexpr int kWindow = 11;

std::array<double, kWindow> gaussian_window() {
  std::array<double, kWindow> w{};
  double sum = 0;
  for (int i = 0; i < kWindow; ++i) {
    const double d = i - (kWindow - 1) * 0.5;
    sum += w[i] = std::exp(-d * d / (2 * 1.5 * 1.5));
  }
  for (double& v : w) v /= sum;
  return w;
}

// Separable Gaussian filter over the valid region: [h, w] -> [h - 10, w - 10].
std::vector<double> filter_valid(const std::vector<double>& image, int64_t h, int64_t w) {
  static const std::array<double, kWindow> window = gaussian_window();
  const int64_t oh = h - kWindow + 1, ow = w - kWindow + 1;
  std::vector<double> rows(h * ow, 0), out(oh * ow, 0);
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < ow; ++x)
      for (int k = 0; k < kWindow; ++k) rows[y * ow + x] += window[k] * image[y * w + x + k];
  for (int64_t y = 0; y < oh; ++y)
    for (int64_t x = 0; x < ow; ++x)
      for (int k = 0; k < kWindow; ++k) out[y * ow + x] += window[k] * rows[(y + k) * ow + x];
  return out;
}

double ssim_channel(const float* a, const float* b, int64_t h, int64_t w) {
  const int64_t n = h * w;
  std::vector<double> x(a, a + n), y(b, b + n), xx(n), yy(n), xy(n);
  for (int64_t i = 0; i < n; ++i) {
    xx[i] = x[i] * x[i];
    yy[i] = y[i] * y[i];
    xy[i] = x[i] * y[i];
  }
  const auto mx = filter_valid(x, h, w), my = filter_valid(y, h, w), sxx = filter_valid(xx, h, w),
             syy = filter_valid(yy, h, w), sxy = filter_valid(xy, h, w);
  const double range = 2, c1 = 0.01 * 0.01 * range * range, c2 = 0.03 * 0.03 * range * range;
  double sum = 0;
  for (size_t i = 0; i < mx.size(); ++i) {
    const double vx = sxx[i] - mx[i] * mx[i], vy = syy[i] - my[i] * my[i],
                 cov = sxy[i] - mx[i] * my[i];
    sum += (2 * mx[i] * my[i] + c1) * (2 * cov + c2) /
           ((mx[i] * mx[i] + my[i] * my[i] + c1) * (vx + vy + c2));
  }
  return sum / static_cast<double>(mx.size());
}

uint64_t splitmix64(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

double ssim(const Tensor& reference, const Tensor& test) {
  OCTAVO_CHECK(reference.shape() == test.shape() && reference.rank() == 3 &&
                   reference.dim(1) >= kWindow && reference.dim(2) >= kWindow,
               "[ssim] needs two pictures [C, H, W] of at least 11x11; got {} and {}",
               to_string(reference.shape()), to_string(test.shape()));
  const std::vector<float> a = reference.to_floats(), b = test.to_floats();
  const int64_t channels = reference.dim(0), h = reference.dim(1), w = reference.dim(2);
  double sum = 0;
  for (int64_t c = 0; c < channels; ++c)
    sum += ssim_channel(a.data() + c * h * w, b.data() + c * h * w, h, w);
  return sum / static_cast<double>(channels);
}

Interval bootstrap_mean(const std::vector<double>& values, double confidence, int resamples,
                        uint64_t seed) {
  OCTAVO_CHECK(!values.empty(), "[bootstrap] no values");
  const size_t n = values.size();
  double sum = 0;
  for (double v : values) sum += v;
  std::vector<double> means(resamples);
  uint64_t state = seed;
  for (double& mean : means) {
    double total = 0;
    for (size_t i = 0; i < n; ++i) total += values[splitmix64(state) % n];
    mean = total / static_cast<double>(n);
  }
  std::sort(means.begin(), means.end());
  const double tail = (1 - confidence) / 2;
  const auto at = [&](double q) {
    return means[static_cast<size_t>(std::lround(q * (resamples - 1)))];
  };
  return {sum / static_cast<double>(n), at(tail), at(1 - tail)};
}

}  // namespace octavo
