#include "quant/stats_diff.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/glob.h"

namespace octavo {
namespace {

double relative(double difference, double size) {
  return difference == 0 ? 0 : difference / std::max(size, std::numeric_limits<double>::min());
}

double far_apart(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0;
  for (size_t c = 0; c < a.size(); ++c) {
    // Two infinities: neither met a value.
    if (a[c] != b[c]) most = std::max(most, std::fabs(double{a[c]} - b[c]));
  }
  return most;
}

double moments_apart(const SecondMoment& a, const SecondMoment& b) {
  if (a.empty() && b.empty()) return 0;
  if (a.empty() != b.empty()) return std::numeric_limits<double>::infinity();
  const std::vector<double> left = a.matrix(), right = b.matrix();
  double difference = 0, size = 0;
  for (size_t i = 0; i < left.size(); ++i) {
    difference += (left[i] - right[i]) * (left[i] - right[i]);
    size += std::max(left[i] * left[i], right[i] * right[i]);
  }
  return std::sqrt(relative(difference, size));
}

// Both saw the same steps and channels.
bool comparable(const LayerStats& a, const LayerStats& b) {
  return a.channels() == b.channels() &&
         std::equal(a.steps.begin(), a.steps.end(), b.steps.begin(), b.steps.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first; });
}

void compare(const LayerStats& a, const LayerStats& b, StatsDifference& difference) {
  for (const auto& [step, left] : a.steps) {
    const StepStats& right = b.steps.at(step);
    const double apart = std::max(far_apart(left.channel_min, right.channel_min),
                                  far_apart(left.channel_max, right.channel_max));
    const double range = relative(apart, std::max(left.absmax, right.absmax));
    if (range > difference.range || difference.step < 0) {
      difference.range = range;
      difference.step = step;
    }
  }
  const StepStats left = a.all_steps(), right = b.all_steps();
  const std::vector<double> one = left.channel_mean(), other = right.channel_mean();
  double apart = 0;
  for (size_t c = 0; c < one.size(); ++c) apart = std::max(apart, std::fabs(one[c] - other[c]));
  difference.mean = relative(apart, std::max(left.absmax, right.absmax));
  difference.moment = moments_apart(a.moment, b.moment);
}

}  // namespace

double StatsDifference::largest() const {
  return only.empty() ? std::max({range, mean, moment}) : std::numeric_limits<double>::infinity();
}

std::vector<StatsDifference> diff_stats(const Stats& a, const Stats& b,
                                        std::string_view layers_matching) {
  std::set<std::string> names;
  for (const auto& [layer, input] : a.layers) names.insert(layer);
  for (const auto& [layer, input] : b.layers) names.insert(layer);
  std::vector<StatsDifference> result;
  for (const std::string& layer : names) {
    if (!glob_match(layers_matching, layer)) continue;
    StatsDifference difference;
    difference.layer = layer;
    if (!a.has(layer) || !b.has(layer)) {
      difference.only = a.has(layer) ? "a" : "b";
    } else if (!comparable(a.layer(layer), b.layer(layer))) {
      difference.only = "other channels or steps";
    } else {
      compare(a.layer(layer), b.layer(layer), difference);
    }
    result.push_back(std::move(difference));
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const auto& x, const auto& y) { return x.largest() > y.largest(); });
  return result;
}

}  // namespace octavo
