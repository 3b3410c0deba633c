#include "quant/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace octavo {

float Histogram::lower(int bin) {
  OCTAVO_ASSERT(bin >= 0 && bin < kBins);
  return bin == 0 ? 0.0f : std::bit_cast<float>(static_cast<uint32_t>(bin - 1 + kFirst) << kShift);
}

float Histogram::upper(int bin) {
  return bin == kBins - 1 ? std::numeric_limits<float>::infinity() : lower(bin + 1);
}

float Histogram::quantile(const std::vector<uint64_t>& counts, double p, float max) {
  OCTAVO_ASSERT(counts.size() == kBins && p >= 0 && p <= 1);
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  if (total == 0) return 0;
  if (p == 1) return max;
  const double rank = p * static_cast<double>(total - 1);  // of the sorted values, from 0
  double before = 0;
  for (int i = 0; i < kBins; ++i) {
    const double count = static_cast<double>(counts[i]);
    if (count == 0 || before + count <= rank) {
      before += count;
      continue;
    }
    // The bin's values stand at the middles of `count` equal parts of it.
    const double low = lower(i), high = std::min(upper(i), max);
    const double share = std::min((rank - before + 0.5) / count, 1.0);
    return std::min(static_cast<float>(low + (high - low) * share), max);
  }
  return max;
}

}  // namespace octavo
