#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"
#include "base/threads.h"
#include "quant/histogram.h"
#include "quant/stats.h"
#include "tensor/convert.h"

namespace octavo {
namespace {

constexpr uint32_t kInfinityBits = 0x7f800000u;
constexpr int64_t kMaxPieces = 16;  // as many accumulators are alive at a time

// A tensor as [outer, channels, inner]; inner is 1 when channels are the last axis.
struct View {
  int64_t outer = 1, channels = 1, inner = 1;
};

View view_of(const Shape& shape, int64_t axis) {
  View view;
  for (int64_t i = 0; i < static_cast<int64_t>(shape.size()); ++i) {
    (i < axis ? view.outer : i == axis ? view.channels : view.inner) *= shape[i];
  }
  return view;
}

// Sums over a run of outer indices. Magnitudes are kept as bits: of finite non-negative floats the
// larger value has the larger bits.
class Accumulator {
 public:
  explicit Accumulator(const View& view) : view_(view), channel_(view.channels) {}

  void add(const float* data, int64_t outer_begin, int64_t outer_end) {
    const int64_t row = view_.channels * view_.inner;
    for (int64_t i = outer_begin; i < outer_end; ++i) add_row(data + i * row);
  }

  void finish(StepStats& stats) const {
    for (size_t c = 0; c < channel_.size(); ++c) {
      const float value = std::bit_cast<float>(channel_[c]);
      stats.channel_absmax[c] = std::max(stats.channel_absmax[c], value);
      stats.absmax = std::max(stats.absmax, value);
    }
    for (const Bins& bins : bins_) {
      for (int b = 0; b < Histogram::kBins; ++b) stats.histogram[b] += bins[b];
    }
    stats.non_finite += non_finite_;
  }

 private:
  using Bins = std::array<uint64_t, Histogram::kBins>;

  void add_row(const float* row) {
    const int64_t n = view_.channels * view_.inner;
    if (view_.inner == 1) {
      for (int64_t c = 0; c < n; ++c) channel_[c] = std::max(channel_[c], finite_bits(row[c]));
    } else {
      for (int64_t c = 0; c < view_.channels; ++c) channel_[c] = run_max(row, c);
    }
    // Neighbours often fall into one bin; four tables keep an increment from waiting for the last.
    for (int64_t i = 0; i < n; ++i) {
      const uint32_t bits = std::bit_cast<uint32_t>(row[i]) & 0x7fffffffu;
      if (bits >= kInfinityBits) {
        ++non_finite_;
      } else {
        ++bins_[i & 3][Histogram::bin(bits)];
      }
    }
  }

  uint32_t run_max(const float* row, int64_t c) const {
    uint32_t most = channel_[c];
    for (int64_t i = c * view_.inner; i < (c + 1) * view_.inner; ++i) {
      most = std::max(most, finite_bits(row[i]));
    }
    return most;
  }

  static uint32_t finite_bits(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value) & 0x7fffffffu;
    return bits >= kInfinityBits ? 0 : bits;
  }

  View view_;
  std::vector<uint32_t> channel_;
  std::array<Bins, 4> bins_ = {};
  uint64_t non_finite_ = 0;
};

}  // namespace

StepStats observe(const Tensor& tensor, int channel_axis) {
  const int64_t rank = tensor.rank(), axis = channel_axis < 0 ? channel_axis + rank : channel_axis;
  OCTAVO_ASSERT(axis >= 0 && axis < rank && tensor.has_data());
  const Tensor values = tensor.to(DType::f32);
  const View view = view_of(values.shape(), axis);
  StepStats stats;
  stats.channel_absmax.resize(view.channels);
  stats.histogram.resize(Histogram::kBins);
  stats.count = static_cast<uint64_t>(values.elements());
  stats.samples = static_cast<uint64_t>(axis == 0 ? 1 : values.dim(0));
  if (stats.count == 0) return stats;

  const int64_t grain = (view.outer + kMaxPieces - 1) / kMaxPieces;
  std::vector<Accumulator> pieces((view.outer + grain - 1) / grain, Accumulator(view));
  parallel_for(view.outer, grain, [&](int64_t begin, int64_t end) {
    pieces[begin / grain].add(values.as<float>(), begin, end);
  });
  for (const Accumulator& piece : pieces) piece.finish(stats);
  return stats;
}

}  // namespace octavo
