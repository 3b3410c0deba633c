#include "judge/statistics.h"

#include <algorithm>
#include <cmath>

#include <fmt/ranges.h>

#include "base/check.h"

namespace octavo {
namespace {

std::vector<double> collect(const Comparison& c, double SampleResult::*field) {
  std::vector<double> values;
  for (const SampleResult& s : c.samples) values.push_back(s.*field);
  return values;
}

const std::vector<double>& errors(const SampleResult& s, bool teacher_forced) {
  return teacher_forced ? s.teacher_forced : s.free_running;
}

double mean_error(const Comparison& c, bool teacher_forced) {
  double sum = 0;
  size_t count = 0;
  for (const SampleResult& s : c.samples)
    for (double e : errors(s, teacher_forced)) {
      sum += e;
      ++count;
    }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

struct Figure {
  const char* name;
  double (*value)(const Comparison&);
};

double smallest(const std::vector<double>& v) { return *std::min_element(v.begin(), v.end()); }

const Figure kFigures[] = {
    {"psnr.mean", [](const Comparison& c) { return psnr_interval(c).mean; }},
    {"psnr.low", [](const Comparison& c) { return psnr_interval(c).low; }},
    {"psnr.median", [](const Comparison& c) { return median(collect(c, &SampleResult::psnr)); }},
    {"psnr.min", [](const Comparison& c) { return smallest(collect(c, &SampleResult::psnr)); }},
    {"psnr.mse", [](const Comparison& c) { return psnr_of_mean_error(c); }},
    {"ssim.mean", [](const Comparison& c) { return ssim_interval(c).mean; }},
    {"ssim.low", [](const Comparison& c) { return ssim_interval(c).low; }},
    {"ssim.median", [](const Comparison& c) { return median(collect(c, &SampleResult::ssim)); }},
    {"ssim.min", [](const Comparison& c) { return smallest(collect(c, &SampleResult::ssim)); }},
    {"x0.teacher.mean", [](const Comparison& c) { return mean_error(c, true); }},
    {"x0.teacher.max", [](const Comparison& c) { return worst_step(c, true).error; }},
    {"x0.free.mean", [](const Comparison& c) { return mean_error(c, false); }},
    {"x0.free.max", [](const Comparison& c) { return worst_step(c, false).error; }},
};

}  // namespace

double psnr_of_mean_error(const Comparison& comparison) {
  double sum = 0;
  for (const SampleResult& s : comparison.samples) sum += 4 / std::pow(10, s.psnr / 10);
  return 10 * std::log10(4 / (sum / static_cast<double>(comparison.samples.size())));
}

double median(std::vector<double> values) {
  OCTAVO_ASSERT(!values.empty());
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

Interval psnr_interval(const Comparison& comparison) {
  return bootstrap_mean(collect(comparison, &SampleResult::psnr));
}

Interval ssim_interval(const Comparison& comparison) {
  return bootstrap_mean(collect(comparison, &SampleResult::ssim));
}

std::vector<Interval> step_errors(const Comparison& comparison, bool teacher_forced) {
  std::vector<Interval> steps;
  const size_t count =
      comparison.samples.empty() ? 0 : errors(comparison.samples.front(), teacher_forced).size();
  for (size_t k = 0; k < count; ++k) {
    std::vector<double> values;
    for (const SampleResult& s : comparison.samples) values.push_back(errors(s, teacher_forced)[k]);
    steps.push_back(bootstrap_mean(values, 0.95, 500));
  }
  return steps;
}

Worst worst_step(const Comparison& comparison, bool teacher_forced) {
  Worst worst;
  for (const SampleResult& s : comparison.samples) {
    const auto& e = errors(s, teacher_forced);
    for (size_t k = 0; k < e.size(); ++k)
      if (worst.step < 0 || e[k] > worst.error || std::isnan(e[k]))
        worst = {e[k], static_cast<int>(k), s.prompt, s.seed};
  }
  return worst;
}

const std::vector<std::string>& figure_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Figure& f : kFigures) list.emplace_back(f.name);
    return list;
  }();
  return names;
}

double figure(const Comparison& comparison, const std::string& name) {
  for (const Figure& f : kFigures)
    if (name == f.name) return f.value(comparison);
  OCTAVO_FAIL(invalid_argument, "'{}' is no figure of a comparison; known: {}", name,
              fmt::join(figure_names(), " "));
}

}  // namespace octavo
