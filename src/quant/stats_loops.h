#pragma once
// The loops that calibration spends its time in, compiled for every vector unit. Private to
// observe.cc and second_moment.cc.
#include <cstdint>

namespace octavo {

// Histogram bins of |values|, Histogram::kBins for those that are not finite. Raises `most` to the
// bits of the largest finite magnitude; returns whether all are finite.
bool find_bins(const float* values, int64_t n, int32_t* bins, uint32_t& most);

// low = min(low, row), high = max(high, row), sum += row, element by element. All finite.
void widen_ranges(const float* row, int64_t n, float* low, float* high, double* sum);

// Of a run of finite values, in kRunLanes parts: part l has values l, l + kRunLanes, ...
constexpr int64_t kRunLanes = 16;
struct RunParts {
  float low[kRunLanes], high[kRunLanes];
  double sum[kRunLanes];
};
void measure_run(const float* values, int64_t n, RunParts& parts);  // n a multiple of kRunLanes

// 128-bit sums, low and high words apart: adds values[i] in units of kMomentSum, to nearest.
void add_moments(const float* values, int64_t n, uint64_t* low, int64_t* high);

}  // namespace octavo
