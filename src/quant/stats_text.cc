// What statistics look like: their hash and their table.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/glob.h"
#include "base/hash.h"
#include "quant/histogram.h"
#include "quant/stats.h"

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

void add_step(Hasher& hasher, int step, const StepStats& stats) {
  hasher.update(&step, sizeof step);
  add_values(hasher, stats.channel_min);
  add_values(hasher, stats.channel_max);
  add_values(hasher, stats.channel_sum);
  add_values(hasher, stats.histogram);
  add_values(hasher, std::vector<uint64_t>{stats.non_finite, stats.count, stats.samples,
                                           static_cast<uint64_t>(stats.rows.size())});
  add_values(hasher, std::vector<Int128>{stats.sample_absmax_sum});
  add_values(hasher, std::vector<float>{stats.sample_absmax_min});
  for (const auto& [hash, row] : stats.rows.rows()) {
    hasher.update(&hash, sizeof hash);
    hasher.update(row.data(), row.bytes());
  }
}

std::string layer_line(const std::string& layer, const LayerStats& stats) {
  int worst = 0;
  float most = 0;
  int64_t rows = 0;
  for (const auto& [step, one] : stats.steps) {
    rows += one.rows.size();
    if (one.absmax < most) continue;
    most = one.absmax;
    worst = step;
  }
  const StepStats all = stats.all_steps();
  const std::string at = worst < 0 ? "-" : std::to_string(worst);
  const auto quantile = [&](double p) { return Histogram::quantile(all.histogram, p, all.absmax); };
  return fmt::format(
      "{:<52} {:>5} {:>10.5g} {:>4} {:>10.5g} {:>10.5g} {:>10.5g} {:>12} {:>6} {:>5} {:>8}\n",
      layer, stats.steps.size(), all.absmax, at, quantile(0.9999), quantile(0.999), quantile(0.5),
      all.count, all.non_finite, rows, stats.moment.rows());
}

// Of every step: where its values lie, and how far the channels' means are from 0.
std::string step_lines(const LayerStats& stats) {
  std::string text;
  for (const auto& [step, one] : stats.steps) {
    float low = 0, high = 0;
    for (const float v : one.channel_min) low = std::min(low, v);
    for (const float v : one.channel_max) high = std::max(high, v);
    double mean = 0;
    for (const double v : one.channel_mean()) mean = std::max(mean, std::fabs(v));
    text += fmt::format(
        "  step {:>4}: {:.5g} to {:.5g}, 99.9 % {:.5g}, largest channel mean {:.5g}, "
        "{} samples, {} rows, {} not finite\n",
        step < 0 ? "-" : std::to_string(step), low, high,
        Histogram::quantile(one.histogram, 0.999, one.absmax), mean, one.samples, one.rows.size(),
        one.non_finite);
  }
  return text;
}

}  // namespace

std::string Stats::hash() const {
  Hasher hasher;
  add_text(hasher, model_hash);
  add_text(hasher, schedule);
  for (const std::string& prompt : prompts) add_text(hasher, prompt);
  add_values(hasher, std::vector<int64_t>{sampling.rows, sampling.moment_stride});
  for (const auto& [layer, input] : layers) {
    add_text(hasher, layer);
    add_text(hasher, input);
  }
  for (const auto& [input, stats] : inputs) {
    add_text(hasher, input);
    for (const auto& [step, one] : stats.steps) add_step(hasher, step, one);
    const SecondMoment& moment = stats.moment;
    add_values(hasher, std::vector<uint64_t>{moment.rows()});
    if (moment.empty()) continue;
    for (const Tensor& sums : {moment.products(), moment.sum()}) {
      hasher.update(sums.data(), sums.bytes());
    }
  }
  return hasher.hex();
}

std::string Stats::text(std::string_view layers_matching, bool by_step) const {
  std::string text = fmt::format("model {}\nschedule {}\n{} prompts, {} layers, {} inputs{}\n\n",
                                 model_hash, schedule, prompts.size(), layers.size(), inputs.size(),
                                 unfinished ? ", unfinished: a checkpoint" : "");
  text += fmt::format("{:<52} {:>5} {:>10} {:>4} {:>10} {:>10} {:>10} {:>12} {:>6} {:>5} {:>8}\n",
                      "layer", "steps", "absmax", "at", "99.99 %", "99.9 %", "median", "values",
                      "NaN/Inf", "rows", "moment");
  for (const auto& [layer, input] : layers) {
    if (!glob_match(layers_matching, layer)) continue;
    const LayerStats& stats = inputs.at(input);
    text += layer_line(layer, stats);
    if (by_step) text += step_lines(stats);
  }
  return text;
}

}  // namespace octavo
