#include "quant/stats_loops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/stats_loops.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <bit>

#include "quant/fixed.h"
#include "quant/histogram.h"

// Plain loops, in a form that compilers turn into vectors; Highway picks the target.
HWY_BEFORE_NAMESPACE();
namespace octavo::HWY_NAMESPACE {

bool find_bins_on(const float* __restrict values, int64_t n, uint16_t* __restrict bins,
                  uint32_t& most) {
  constexpr uint32_t kInfinityBits = 0x7f800000u;
  uint32_t largest = most, least_excess = 1;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu;
    const bool finite = bits < kInfinityBits;
    const uint32_t magnitude = finite ? bits : 0;
    largest = magnitude > largest ? magnitude : largest;
    least_excess &= finite ? 1u : 0u;
    bins[i] = static_cast<uint16_t>(finite ? Histogram::bin(bits) : Histogram::kBins);
  }
  most = largest;
  return least_excess != 0;
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

bool find_bins(const float* values, int64_t n, uint16_t* bins, uint32_t& most) {
  return HWY_DYNAMIC_DISPATCH(find_bins_on)(values, n, bins, most);
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
