#include "quant/stats.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

#include "base/check.h"
#include "base/hash.h"
#include "base/text.h"

namespace octavo {
namespace {

void merge_into(std::vector<std::string>& prompts, const std::vector<std::string>& others) {
  std::vector<std::string> both, merged;
  std::set_intersection(prompts.begin(), prompts.end(), others.begin(), others.end(),
                        std::back_inserter(both));
  OCTAVO_CHECK(both.empty(), "'{}' (seed:prompt) is in both statistics and would count twice",
               printable(both.front()));
  std::merge(prompts.begin(), prompts.end(), others.begin(), others.end(),
             std::back_inserter(merged));
  prompts = std::move(merged);
}

}  // namespace

std::vector<float> StepStats::channel_absmax() const {
  std::vector<float> result(channel_max.size());
  for (size_t c = 0; c < result.size(); ++c) {
    result[c] = std::max({0.0f, -channel_min[c], channel_max[c]});
  }
  return result;
}

std::vector<double> StepStats::channel_mean() const {
  std::vector<double> result(channel_sum.size());
  if (count == 0) return result;
  const double each = static_cast<double>(count) / static_cast<double>(result.size());
  for (size_t c = 0; c < result.size(); ++c) result[c] = kChannelSum.value(channel_sum[c]) / each;
  return result;
}

void StepStats::merge(const StepStats& other) {
  if (histogram.empty() && count == 0) {
    *this = other;
    return;
  }
  OCTAVO_CHECK(channel_max.size() == other.channel_max.size(),
               "statistics of {} channels cannot be merged with those of {}",
               other.channel_max.size(), channel_max.size());
  OCTAVO_ASSERT(histogram.size() == other.histogram.size());
  absmax = std::max(absmax, other.absmax);
  bool fits = add_exactly(sample_absmax_sum, other.sample_absmax_sum);
  for (size_t c = 0; c < channel_max.size(); ++c) {
    channel_min[c] = std::min(channel_min[c], other.channel_min[c]);
    channel_max[c] = std::max(channel_max[c], other.channel_max[c]);
    fits &= add_exactly(channel_sum[c], other.channel_sum[c]);
  }
  OCTAVO_CHECK(fits,
               "sums of channels or of samples' magnitudes exceed 128 bits when they are added up: "
               "one of the statistics is damaged; calibrate again");
  for (size_t i = 0; i < histogram.size(); ++i) histogram[i] += other.histogram[i];
  non_finite += other.non_finite;
  count += other.count;
  samples += other.samples;
  sample_absmax_min = std::min(sample_absmax_min, other.sample_absmax_min);
  rows.merge(other.rows);
}

int64_t LayerStats::channels() const {
  return steps.empty() ? 0 : static_cast<int64_t>(steps.begin()->second.channel_max.size());
}

StepStats LayerStats::all_steps() const {
  StepStats all;
  for (const auto& [step, stats] : steps) all.merge(stats);
  return all;
}

void LayerStats::merge(const LayerStats& other) {
  for (const auto& [step, stats] : other.steps) steps[step].merge(stats);
  moment.merge(other.moment);
}

const LayerStats& Stats::layer(const std::string& layer) const {
  const auto found = layers.find(layer);
  OCTAVO_CHECK(
      found != layers.end(),
      "layer {} has no calibration statistics: it does not run when a picture is made from "
      "text (or the calibration left its component out); keep it in float or give it a "
      "scheme with dynamic or no activation quantization",
      layer);
  return inputs.at(found->second);
}

StepStats Stats::all_steps(const std::string& layer) const {
  return this->layer(layer).all_steps();
}

std::map<int, float> Stats::step_absmax(const std::string& layer) const {
  std::map<int, float> result;
  for (const auto& [step, stats] : this->layer(layer).steps) result[step] = stats.absmax;
  return result;
}

std::vector<float> Stats::channel_min(const std::string& layer) const {
  return all_steps(layer).channel_min;
}

std::vector<float> Stats::channel_max(const std::string& layer) const {
  return all_steps(layer).channel_max;
}

std::vector<float> Stats::channel_absmax(const std::string& layer) const {
  return all_steps(layer).channel_absmax();
}

std::vector<double> Stats::channel_mean(const std::string& layer) const {
  return all_steps(layer).channel_mean();
}

const SecondMoment& Stats::moment(const std::string& layer) const {
  const LayerStats& stats = this->layer(layer);
  OCTAVO_CHECK(!stats.moment.empty(), "layer {} has no second moments: {}", layer,
               sampling.moment_stride == 0
                   ? "the calibration was told to leave them out; calibrate with them"
                   : "they are kept of the inputs of linear layers, where they are finite");
  return stats.moment;
}

Tensor Stats::rows(const std::string& layer, std::optional<int> step) const {
  std::vector<Tensor> rows;
  const LayerStats& stats = this->layer(layer);
  for (const auto& [number, one] : stats.steps) {
    if (step && number != *step) continue;
    for (const auto& [hash, row] : one.rows.rows()) rows.push_back(row);
  }
  OCTAVO_CHECK(!rows.empty(), "layer {} has no rows{}: {}", layer,
               step ? fmt::format(" of step {}", *step) : "",
               sampling.rows == 0 ? "the calibration was told to keep none; calibrate with them"
                                  : "they are kept of the inputs of linear layers, of the steps "
                                    "that were calibrated");
  Tensor all = Tensor::empty(DType::f32, {static_cast<int64_t>(rows.size()), stats.channels()});
  std::byte* place = all.as_mutable<std::byte>();
  for (const Tensor& row : rows) {
    std::memcpy(place, row.data(), row.bytes());
    place += row.bytes();
  }
  return all;
}

void Stats::check_usable(const std::string& hash, const std::string& where) const {
  OCTAVO_CHECK(model_hash == hash,
               "the statistics are of a model with hash {}, {} has hash {}; calibrate this one",
               model_hash, where, hash);
  OCTAVO_CHECK(!unfinished,
               "the statistics are those of an unfinished calibration; run the same command again "
               "to finish it");
  OCTAVO_CHECK(!inputs.empty(), "the statistics hold no layer: nothing was calibrated");
}

LayerStats& Stats::add(const std::string& layer) {
  const std::string& input = layers.emplace(layer, layer).first->second;
  return inputs[input];
}

void Stats::merge(const Stats& other) {
  OCTAVO_CHECK(model_hash == other.model_hash,
               "statistics of model {} cannot be merged with those of model {}", other.model_hash,
               model_hash);
  OCTAVO_CHECK(schedule == other.schedule,
               "statistics of schedule {} cannot be merged with those of schedule {}",
               other.schedule, schedule);
  OCTAVO_CHECK(sampling == other.sampling,
               "statistics with {} rows a step and moments of one row in {} cannot be merged with "
               "those with {} and {}",
               other.sampling.rows, other.sampling.moment_stride, sampling.rows,
               sampling.moment_stride);
  OCTAVO_CHECK(!unfinished && !other.unfinished,
               "statistics of an unfinished calibration cannot be merged; finish it first");
  merge_into(prompts, other.prompts);
  for (const auto& [layer, input] : other.layers) {
    const std::string& here = layers.emplace(layer, input).first->second;
    OCTAVO_CHECK(here == input, "layer {} is fed {} in one of the statistics and {} in the other",
                 layer, here, input);
  }
  for (const auto& [input, stats] : other.inputs) {
    try {
      inputs[input].merge(stats);
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("input {}: {}", input, error.what()));
    }
  }
}

}  // namespace octavo
