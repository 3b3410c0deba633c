#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "base/check.h"
#include "base/threads.h"
#include "quant/histogram.h"
#include "quant/stats.h"

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
    for (int64_t i = 0; i < n; ++i) {
      const uint32_t bits = magnitude(values[i]);
      const bool is_finite = bits < kInfinityBits;
      all &= is_finite;
      most = std::max(most, is_finite ? bits : 0);
      ++bins_[i & 3][is_finite ? Histogram::bin(bits) : Histogram::kBins];
    }
    return all;
  }

  void add_run(const float* rows, int64_t n, uint32_t& most) {
    std::fill(run_.begin(), run_.end(), 0.0);
    for (int64_t r = 0; r < n; ++r) {
      const float* row = rows + r * view_.channels;
      if (count(row, view_.channels, most)) {
        add_row<false>(row);
      } else {
        add_row<true>(row);
      }
    }
    for (size_t c = 0; c < sum_.size(); ++c) sum_[c] += kChannelSum.from(run_[c]);
  }

  template <bool kSkip>
  void add_row(const float* row) {
    float *low = min_.data(), *high = max_.data();
    double* sum = run_.data();
    for (int64_t c = 0; c < view_.channels; ++c) {
      if (kSkip && !finite(row[c])) continue;
      const float x = row[c] + 0.0f;  // no -0, whose order against 0 is anyone's
      low[c] = x < low[c] ? x : low[c];
      high[c] = x > high[c] ? x : high[c];
      sum[c] += static_cast<double>(x);
    }
  }

  void add_channel(const float* values, int64_t channel, uint32_t& most) {
    const bool all = count(values, view_.inner, most);
    float low = min_[channel], high = max_[channel];
    constexpr int64_t kLanes = 8;
    std::array<double, kLanes> sums = {};
    std::array<float, kLanes> lows, highs;
    lows.fill(low);
    highs.fill(high);
    const auto add_one = [&](float value, int64_t lane) {
      const float x = value + 0.0f;
      lows[lane] = x < lows[lane] ? x : lows[lane];
      highs[lane] = x > highs[lane] ? x : highs[lane];
      sums[lane] += static_cast<double>(x);
    };
    int64_t i = 0;
    for (; all && i + kLanes <= view_.inner; i += kLanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) add_one(values[i + lane], lane);
    }
    for (; i < view_.inner; ++i) {
      if (finite(values[i])) add_one(values[i], i % kLanes);
    }
    double sum = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      low = std::min(low, lows[lane]);
      high = std::max(high, highs[lane]);
      sum += sums[lane];
    }
    min_[channel] = low;
    max_[channel] = high;
    sum_[channel] += kChannelSum.from(sum);
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
