#include "quant/input_values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "quant/histogram.h"
#include "quant/input_transform.h"

namespace octavo {
namespace {

Matrix matrix_of(const RowSample& sample, int64_t channels) {
  Matrix rows(sample.size(), channels);
  for (int64_t r = 0; const auto& [hash, row] : sample.rows()) {
    rows.row(r++) = Eigen::Map<const Eigen::RowVectorXf>(row.as<float>(), channels);
  }
  return rows;
}

// The largest |x - shift| * multiplier, exact without a rotation.
float transformed_absmax(const StepStats& stats, const InputTransform& transform) {
  const auto n = static_cast<int64_t>(stats.channel_min.size());
  float most = 0;
  for (int64_t c = 0; c < n; ++c) {
    const auto i = static_cast<size_t>(c);
    if (stats.channel_min[i] > stats.channel_max[i]) continue;  // nothing finite was met
    const float shift = transform.shift.has_data() ? transform.shift.as<float>()[c] : 0;
    const float m = transform.multiplier.has_data() ? transform.multiplier.as<float>()[c] : 1;
    const float reach = std::max(stats.channel_max[i] - shift, shift - stats.channel_min[i]);
    most = std::max(most, reach * m);
  }
  return most;
}

void count_magnitudes(const Matrix& rows, std::vector<uint64_t>& histogram) {
  histogram.assign(Histogram::kBins, 0);
  for (int64_t i = 0; i < rows.size(); ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(rows.data()[i]) & 0x7fffffffu;
    ++histogram[static_cast<size_t>(Histogram::bin(bits))];
  }
}

StepValues values_of(int step, const StepStats& stats, const InputTransform& transform,
                     const std::string& layer) {
  StepValues values;
  values.step = step;
  values.sample_absmax_sum = kChannelSum.value(stats.sample_absmax_sum);
  values.sample_absmax_min = stats.sample_absmax_min;
  const auto channels = static_cast<int64_t>(stats.channel_min.size());
  values.rows = matrix_of(stats.rows, channels);
  values.absmax = stats.absmax;
  values.histogram = stats.histogram;
  if (is_identity(transform)) return values;
  OCTAVO_CHECK(values.rows.rows() != 0,
               "layer {}: the scale of a shifted, smoothed or rotated input needs recorded input "
               "rows, and the statistics have none; calibrate with rows",
               layer);
  values.rows = transform_rows(values.rows, transform);
  values.absmax = transform.rotation == 0 ? transformed_absmax(stats, transform)
                                          : values.rows.cwiseAbs().maxCoeff();
  count_magnitudes(values.rows, values.histogram);
  return values;
}

// Of each channel over all steps, `pick` of two.
template <class F>
Vector channel_extreme(const LayerStats& stats, std::vector<float> StepStats::*member, F&& pick) {
  Vector result;
  for (const auto& [step, s] : stats.steps) {
    const auto n = static_cast<int64_t>((s.*member).size());
    const Vector values = Eigen::Map<const Vector>((s.*member).data(), n);
    result = result.size() == 0 ? values : Vector(pick(result, values));
  }
  // Nothing finite was met there.
  return result.unaryExpr([](float v) { return std::isfinite(v) ? v : 0.0f; });
}

}  // namespace

std::vector<StepValues> input_values(const LayerStats& stats, const InputTransform& transform,
                                     const std::string& layer) {
  uint64_t non_finite = 0, count = 0;
  for (const auto& [step, s] : stats.steps) {
    non_finite += s.non_finite;
    count += s.count;
  }
  OCTAVO_CHECK_CODE(not_finite, non_finite == 0,
                    "layer {} met {} NaN or infinite inputs of {} while it was calibrated; the "
                    "model overflows there, so no static scale is right",
                    layer, non_finite, count);
  std::vector<StepValues> values;
  for (const auto& [step, s] : stats.steps) {
    values.push_back(values_of(step, s, transform, layer));
  }
  return values;
}

VectorD channel_means(const LayerStats& stats) {
  const std::vector<double> means = stats.all_steps().channel_mean();
  return Eigen::Map<const VectorD>(means.data(), static_cast<int64_t>(means.size()));
}

Vector channel_low(const LayerStats& stats) {
  return channel_extreme(stats, &StepStats::channel_min,
                         [](const Vector& a, const Vector& b) { return a.cwiseMin(b); });
}

Vector channel_high(const LayerStats& stats) {
  return channel_extreme(stats, &StepStats::channel_max,
                         [](const Vector& a, const Vector& b) { return a.cwiseMax(b); });
}

Matrix recorded_rows(const LayerStats& stats, int64_t most) {
  int64_t total = 0;
  for (const auto& [step, s] : stats.steps) total += s.rows.size();
  const int64_t count = std::min(most, total), channels = stats.channels();
  Matrix rows(count, channels);
  // Row i of the result is row floor(i * total / count) of all.
  int64_t at = 0, taken = 0;
  for (const auto& [step, s] : stats.steps) {
    for (const auto& [hash, row] : s.rows.rows()) {
      if (taken < count && at++ == taken * total / count) {
        rows.row(taken++) = Eigen::Map<const Eigen::RowVectorXf>(row.as<float>(), channels);
      }
    }
  }
  return rows;
}

MatrixD moment_matrix(const SecondMoment& moment) {
  const std::vector<double> values = moment.matrix();
  return Eigen::Map<const MatrixD>(values.data(), moment.channels(), moment.channels());
}

VectorD moment_mean(const SecondMoment& moment) {
  const std::vector<double> values = moment.mean();
  return Eigen::Map<const VectorD>(values.data(), moment.channels());
}

}  // namespace octavo
