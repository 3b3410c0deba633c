#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/threads.h"
#include "quant/histogram.h"
#include "quant/stats.h"
#include "quant/stats_loops.h"

namespace octavo {
namespace {

constexpr uint32_t kInfinityBits = 0x7f800000u;
constexpr int64_t kMaxPieces = 16;  // as many accumulators are alive at a time
constexpr int64_t kRunRows = 64;    // rows of a sample whose sums are rounded together
constexpr float kInfinity = std::numeric_limits<float>::infinity();

uint32_t magnitude(float value) { return std::bit_cast<uint32_t>(value) & 0x7fffffffu; }
bool finite(float value) { return magnitude(value) < kInfinityBits; }

// A tensor as [samples, rows, channels], or [samples, channels, inner] where channels are not the
// last axis. Its units, from which everything is summed exactly: a run of rows of one sample, or
// one channel of one sample.
struct View {
  int64_t samples = 1, rows = 1, channels = 1, inner = 1;
  bool channels_last = true;

  int64_t runs() const { return (rows + kRunRows - 1) / kRunRows; }
  int64_t units() const { return samples * (channels_last ? runs() : rows * channels); }
};

View view_of(const Shape& shape, int64_t axis) {
  View view;
  const auto rank = static_cast<int64_t>(shape.size());
  view.channels_last = axis == rank - 1;
  for (int64_t i = 0; i < rank; ++i) {
    (i == axis  ? view.channels
     : i > axis ? view.inner
     : i == 0   ? view.samples
                : view.rows) *= shape[static_cast<size_t>(i)];
  }
  return view;
}

class Accumulator {
 public:
  explicit Accumulator(const View& view)
      : view_(view),
        min_(view.channels, kInfinity),
        max_(view.channels, -kInfinity),
        sum_(view.channels),
        sample_(view.samples),
        run_(view.channels_last ? view.channels : 0) {}

  void add(const float* data, int64_t unit) {
    if (view_.channels_last) {
      const int64_t sample = unit / view_.runs(), first = unit % view_.runs() * kRunRows;
      add_run(data + (sample * view_.rows + first) * view_.channels,
              std::min(kRunRows, view_.rows - first), sample_[sample]);
    } else {
      add_channel(data + unit * view_.inner, unit % view_.channels,
                  sample_[unit / (view_.rows * view_.channels)]);
    }
  }

  // `samples`: the largest magnitude of each.
  void finish(StepStats& stats, std::vector<uint32_t>& samples) const {
    for (size_t c = 0; c < min_.size(); ++c) {
      stats.channel_min[c] = std::min(stats.channel_min[c], min_[c]);
      stats.channel_max[c] = std::max(stats.channel_max[c], max_[c]);
      stats.channel_sum[c] += sum_[c];
    }
    for (size_t i = 0; i < samples.size(); ++i) samples[i] = std::max(samples[i], sample_[i]);
    for (const Bins& bins : bins_) {
      for (int b = 0; b < Histogram::kBins; ++b) stats.histogram[b] += bins[b];
      stats.non_finite += bins[Histogram::kBins];
    }
  }

 private:
  using Bins = std::array<uint64_t, Histogram::kBins + 1>;  // the last: not finite

  // Whether all are finite; raises `most` to the largest magnitude of those that are. Neighbours
  // often fall into one bin; four tables keep an increment from waiting for the last.
  bool count(const float* values, int64_t n, uint32_t& most) {
    bool all = true;
    constexpr int64_t kBlock = 1024;
    std::array<int32_t, kBlock> bins;
    for (int64_t begin = 0; begin < n; begin += kBlock) {
      const int64_t size = std::min(kBlock, n - begin);
      all &= find_bins(values + begin, size, bins.data(), most);
      int64_t i = 0;
      for (; i + 4 <= size; i += 4) {
        ++bins_[0][bins[i]];
        ++bins_[1][bins[i + 1]];
        ++bins_[2][bins[i + 2]];
        ++bins_[3][bins[i + 3]];
      }
      for (; i < size; ++i) ++bins_[0][bins[i]];
    }
    return all;
  }

  void add_run(const float* rows, int64_t n, uint32_t& most) {
    std::fill(run_.begin(), run_.end(), 0.0);
    for (int64_t r = 0; r < n; ++r) {
      const float* row = rows + r * view_.channels;
      if (count(row, view_.channels, most)) {
        widen_ranges(row, view_.channels, min_.data(), max_.data(), run_.data());
        continue;
      }
      for (int64_t c = 0; c < view_.channels; ++c) {
        if (finite(row[c])) widen_ranges(row + c, 1, &min_[c], &max_[c], &run_[c]);
      }
    }
    for (size_t c = 0; c < sum_.size(); ++c) sum_[c] += kChannelSum.from(run_[c]);
  }

  void add_channel(const float* values, int64_t channel, uint32_t& most) {
    const bool all = count(values, view_.inner, most);
    RunParts parts;
    std::fill_n(parts.low, kRunLanes, min_[channel]);
    std::fill_n(parts.high, kRunLanes, max_[channel]);
    std::fill_n(parts.sum, kRunLanes, 0.0);
    const int64_t whole = all ? view_.inner / kRunLanes * kRunLanes : 0;
    measure_run(values, whole, parts);
    for (int64_t i = whole; i < view_.inner; ++i) {
      if (finite(values[i])) widen_ranges(values + i, 1, parts.low, parts.high, parts.sum);
    }
    min_[channel] = *std::min_element(parts.low, parts.low + kRunLanes);
    max_[channel] = *std::max_element(parts.high, parts.high + kRunLanes);
    sum_[channel] += kChannelSum.from(std::accumulate(parts.sum, parts.sum + kRunLanes, 0.0));
  }

  View view_;
  std::vector<float> min_, max_;
  std::vector<Int128> sum_;
  std::vector<uint32_t> sample_;
  std::vector<double> run_;
  std::array<Bins, 4> bins_ = {};
};

}  // namespace

StepStats observe(const Tensor& tensor, int channel_axis) {
  const int64_t rank = tensor.rank(), axis = channel_axis < 0 ? channel_axis + rank : channel_axis;
  OCTAVO_ASSERT(axis >= 0 && axis < rank && tensor.has_data());
  const Tensor values = tensor.to(DType::f32);
  const View view = view_of(values.shape(), axis);
  StepStats stats;
  stats.channel_min.assign(view.channels, kInfinity);
  stats.channel_max.assign(view.channels, -kInfinity);
  stats.channel_sum.resize(view.channels);
  stats.histogram.resize(Histogram::kBins);
  stats.count = static_cast<uint64_t>(values.elements());
  stats.samples = static_cast<uint64_t>(axis == 0 ? 1 : values.dim(0));
  if (stats.count == 0) return stats;

  const int64_t units = view.units(), grain = (units + kMaxPieces - 1) / kMaxPieces;
  std::vector<Accumulator> pieces((units + grain - 1) / grain, Accumulator(view));
  parallel_for(units, grain, [&](int64_t begin, int64_t end) {
    Accumulator& piece = pieces[begin / grain];
    for (int64_t unit = begin; unit < end; ++unit) piece.add(values.as<float>(), unit);
  });
  std::vector<uint32_t> samples(view.samples);
  for (const Accumulator& piece : pieces) piece.finish(stats, samples);
  for (const uint32_t bits : samples) {
    const float most = std::bit_cast<float>(bits);
    stats.sample_absmax_sum += kChannelSum.from(most);
    stats.sample_absmax_min = std::min(stats.sample_absmax_min, most);
  }
  for (const float most : stats.channel_absmax()) stats.absmax = std::max(stats.absmax, most);
  return stats;
}

}  // namespace octavo
