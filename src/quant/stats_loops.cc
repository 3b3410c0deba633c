#include "quant/stats_loops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/stats_loops.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>

#include "quant/fixed.h"
#include "quant/histogram.h"

#ifndef OCTAVO_QUANT_STATS_LOOPS_ONCE
#define OCTAVO_QUANT_STATS_LOOPS_ONCE
namespace octavo {
constexpr int32_t kInfinityBits = 0x7f800000;
}
#endif

// Plain loops, in a form that compilers turn into vectors; Highway picks the target.
HWY_BEFORE_NAMESPACE();
namespace octavo::HWY_NAMESPACE {

// Returns the largest magnitude's bits, of what is not finite too.
int32_t find_bins_on(const float* __restrict values, int64_t n, int32_t* __restrict bins) {
  // GCC makes no vectors of bit_cast.
  using Bits [[gnu::may_alias]] = int32_t;
  const Bits* raw = reinterpret_cast<const Bits*>(values);
  int32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t bits = raw[i] & 0x7fffffff;
    largest = bits > largest ? bits : largest;
    const int32_t bin = Histogram::bin(static_cast<uint32_t>(bits));
    bins[i] = bits < kInfinityBits ? bin : Histogram::kBins;
  }
  return largest;
}

void widen_ranges_on(const float* __restrict row, int64_t n, float* __restrict low,
                     float* __restrict high, double* __restrict sum) {
  for (int64_t c = 0; c < n; ++c) {
    const float x = row[c] + 0.0f;  // no -0, whose order against 0 is anyone's
    low[c] = x < low[c] ? x : low[c];
    high[c] = x > high[c] ? x : high[c];
    sum[c] += static_cast<double>(x);
  }
}

void measure_run_on(const float* __restrict values, int64_t n, RunParts& parts) {
  RunParts own = parts;
  for (int64_t i = 0; i < n; i += kRunLanes) {
    for (int64_t l = 0; l < kRunLanes; ++l) {
      const float x = values[i + l] + 0.0f;
      own.low[l] = x < own.low[l] ? x : own.low[l];
      own.high[l] = x > own.high[l] ? x : own.high[l];
      own.sum[l] += static_cast<double>(x);
    }
  }
  parts = own;
}

// value / unit = h 2^32 + l with both integers: h is rounded by adding a number without fraction,
// the rest is exact and rounded likewise.
void add_moments_on(const float* __restrict values, int64_t n, uint64_t* __restrict low,
                    int64_t* __restrict high) {
  constexpr double kRound = 0x1.8p52;
  constexpr int64_t kRoundBits = std::bit_cast<int64_t>(kRound);
  for (int64_t i = 0; i < n; ++i) {
    const double units = static_cast<double>(values[i]) / kMomentSum.unit;
    const double upper = units * 0x1p-32 + kRound;
    const double rest = units - (upper - kRound) * 0x1p32 + kRound;
    const int64_t h = std::bit_cast<int64_t>(upper) - kRoundBits;
    const int64_t l = std::bit_cast<int64_t>(rest) - kRoundBits;
    const uint64_t first = static_cast<uint64_t>(h) << 32;
    const uint64_t both = first + static_cast<uint64_t>(l);
    const uint64_t sum = low[i] + both;
    high[i] += (h >> 32) + (l < 0 ? -1 : 0) + (both < first ? 1 : 0) + (sum < both ? 1 : 0);
    low[i] = sum;
  }
}

}  // namespace octavo::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo {

HWY_EXPORT(find_bins_on);
HWY_EXPORT(widen_ranges_on);
HWY_EXPORT(measure_run_on);
HWY_EXPORT(add_moments_on);

bool find_bins(const float* values, int64_t n, int32_t* bins, uint32_t& most) {
  const int32_t largest = HWY_DYNAMIC_DISPATCH(find_bins_on)(values, n, bins);
  if (largest < kInfinityBits) {
    most = std::max(most, static_cast<uint32_t>(largest));
    return true;
  }
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu;
    if (bits < kInfinityBits) most = std::max(most, bits);
  }
  return false;
}

void widen_ranges(const float* row, int64_t n, float* low, float* high, double* sum) {
  HWY_DYNAMIC_DISPATCH(widen_ranges_on)(row, n, low, high, sum);
}

void measure_run(const float* values, int64_t n, RunParts& parts) {
  HWY_DYNAMIC_DISPATCH(measure_run_on)(values, n, parts);
}

void add_moments(const float* values, int64_t n, uint64_t* low, int64_t* high) {
  constexpr float kMost = 0x1p34f;  // beyond, the upper part would have a fraction
  bool small = true;
  for (int64_t i = 0; i < n; ++i) small &= values[i] < kMost && values[i] > -kMost;
  if (small) return HWY_DYNAMIC_DISPATCH(add_moments_on)(values, n, low, high);
  for (int64_t i = 0; i < n; ++i) {
    const Int128 value = kMomentSum.from(values[i]);
    const uint64_t sum = low[i] + static_cast<uint64_t>(value);
    high[i] += static_cast<int64_t>(value >> 64) + (sum < low[i] ? 1 : 0);
    low[i] = sum;
  }
}

}  // namespace octavo
#endif
