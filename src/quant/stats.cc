#include "quant/stats.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "base/hash.h"
#include "quant/histogram.h"

namespace octavo {
namespace {

template <class T>
void add_values(Hasher& hasher, const std::vector<T>& values) {
  const uint64_t n = values.size();
  hasher.update(&n, sizeof n);
  hasher.update(values.data(), n * sizeof(T));
}

void add_text(Hasher& hasher, const std::string& text) {
  add_values(hasher, std::vector<char>(text.begin(), text.end()));
}

std::string layer_line(const std::string& layer, const std::map<int, StepStats>& steps) {
  StepStats all;
  int worst = 0;
  for (const auto& [step, stats] : steps) {
    if (stats.absmax >= all.absmax) worst = step;
    all.merge(stats);
  }
  const std::string at = worst < 0 ? "-" : std::to_string(worst);
  const auto quantile = [&](double p) { return Histogram::quantile(all.histogram, p, all.absmax); };
  return fmt::format("{:<52} {:>5} {:>10.5g} {:>4} {:>10.5g} {:>10.5g} {:>10.5g} {:>12} {:>6}\n",
                     layer, steps.size(), all.absmax, at, quantile(0.9999), quantile(0.999),
                     quantile(0.5), all.count, all.non_finite);
}

}  // namespace

void StepStats::merge(const StepStats& other) {
  if (histogram.empty() && count == 0) {
    *this = other;
    return;
  }
  OCTAVO_CHECK(channel_absmax.size() == other.channel_absmax.size(),
               "statistics of {} channels cannot be merged with those of {}",
               other.channel_absmax.size(), channel_absmax.size());
  OCTAVO_ASSERT(histogram.size() == other.histogram.size());
  absmax = std::max(absmax, other.absmax);
  for (size_t i = 0; i < channel_absmax.size(); ++i) {
    channel_absmax[i] = std::max(channel_absmax[i], other.channel_absmax[i]);
  }
  for (size_t i = 0; i < histogram.size(); ++i) histogram[i] += other.histogram[i];
  non_finite += other.non_finite;
  count += other.count;
  samples += other.samples;
}

void Stats::merge(const Stats& other) {
  OCTAVO_CHECK(model_hash == other.model_hash,
               "statistics of model {} cannot be merged with those of model {}", other.model_hash,
               model_hash);
  OCTAVO_CHECK(schedule == other.schedule,
               "statistics of schedule {} cannot be merged with those of schedule {}",
               other.schedule, schedule);
  std::vector<std::string> both;
  std::set_intersection(prompts.begin(), prompts.end(), other.prompts.begin(), other.prompts.end(),
                        std::back_inserter(both));
  OCTAVO_CHECK(both.empty(), "'{}' (seed:prompt) is in both statistics and would count twice",
               both.front());
  std::vector<std::string> merged;
  std::merge(prompts.begin(), prompts.end(), other.prompts.begin(), other.prompts.end(),
             std::back_inserter(merged));
  prompts = std::move(merged);
  for (const auto& [layer, steps] : other.layers) {
    for (const auto& [step, stats] : steps) {
      try {
        layers[layer][step].merge(stats);
      } catch (const Error& error) {
        throw Error(error.code(), fmt::format("layer {}: {}", layer, error.what()));
      }
    }
  }
}

StepStats Stats::all_steps(const std::string& layer) const {
  const auto found = layers.find(layer);
  OCTAVO_CHECK(
      found != layers.end(),
      "layer {} has no calibration statistics: it does not run when a picture is made from "
      "text (or the calibration left its component out); keep it in float or give it a "
      "scheme with dynamic or no activation quantization",
      layer);
  StepStats all;
  for (const auto& [step, stats] : found->second) all.merge(stats);
  return all;
}

std::string Stats::hash() const {
  Hasher hasher;
  add_text(hasher, model_hash);
  add_text(hasher, schedule);
  for (const std::string& prompt : prompts) add_text(hasher, prompt);
  for (const auto& [layer, steps] : layers) {
    add_text(hasher, layer);
    for (const auto& [step, stats] : steps) {
      hasher.update(&step, sizeof step);
      hasher.update(&stats.absmax, sizeof stats.absmax);
      add_values(hasher, stats.channel_absmax);
      add_values(hasher, stats.histogram);
      add_values(hasher, std::vector<uint64_t>{stats.non_finite, stats.count, stats.samples});
    }
  }
  return hasher.hex();
}

std::string Stats::text() const {
  std::string text = fmt::format(
      "model {}\nschedule {}\n{} prompts, {} layers\n\n"
      "{:<52} {:>5} {:>10} {:>4} {:>10} {:>10} {:>10} {:>12} {:>6}\n",
      model_hash, schedule, prompts.size(), layers.size(), "layer", "steps", "absmax", "at",
      "99.99 %", "99.9 %", "median", "values", "NaN/Inf");
  for (const auto& [layer, steps] : layers) text += layer_line(layer, steps);
  return text;
}

}  // namespace octavo
