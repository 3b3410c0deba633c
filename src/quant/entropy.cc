// TensorRT's entropy calibration.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "quant/solver.h"

namespace octavo {
namespace {

constexpr int kFirst = 128;  // bins that are always kept

// The level of bin `i` of `n`: that of numpy.digitize(i, numpy.linspace(0, n, levels + 1)) - 1.
std::vector<int> levels_of(int n, int levels) {
  std::vector<int> result(static_cast<size_t>(n));
  int level = 0;
  for (int i = 0; i < n; ++i) {
    while (level + 1 < levels && (level + 1) * (static_cast<double>(n) / levels) <= i) ++level;
    result[static_cast<size_t>(i)] = level;
  }
  return result;
}

// Relative entropy of the histogram clipped to n bins, to itself rounded to `levels` levels: each
// level's count spread evenly over those of its bins that are not empty.
double relative_entropy(const std::vector<double>& bins, int n, int levels, double above) {
  const std::vector<int> level = levels_of(n, levels);
  std::vector<double> count(static_cast<size_t>(levels)), filled(static_cast<size_t>(levels));
  double total = above, rounded_total = 0;
  for (int i = 0; i < n; ++i) {
    const double c = bins[static_cast<size_t>(i)];
    total += c;
    if (c == 0) continue;
    const auto l = static_cast<size_t>(level[static_cast<size_t>(i)]);
    count[l] += c;
    filled[l] += 1;
    rounded_total += c;
  }
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    const double c = bins[static_cast<size_t>(i)], p = (c + (i == n - 1 ? above : 0)) / total;
    if (p == 0) continue;
    if (c == 0) return std::numeric_limits<double>::infinity();
    const auto l = static_cast<size_t>(level[static_cast<size_t>(i)]);
    sum += p * std::log(p / (count[l] / filled[l] / rounded_total));
  }
  return sum;
}

}  // namespace

int entropy_bins(const std::vector<double>& histogram, int levels) {
  const int n = static_cast<int>(histogram.size());
  OCTAVO_ASSERT(n > kFirst && levels >= 1);
  std::vector<double> bins = histogram;
  bins[0] = bins[1];
  double above = 0;
  for (int i = kFirst; i < n; ++i) above += bins[static_cast<size_t>(i)];
  double best = std::numeric_limits<double>::infinity();
  int kept = n;
  for (int i = kFirst; i <= n; ++i) {
    const double entropy = relative_entropy(bins, i, levels, above);
    if (entropy <= best) {
      best = entropy;
      kept = i;
    }
    if (i < n) above -= bins[static_cast<size_t>(i)];
  }
  return kept;
}

}  // namespace octavo
