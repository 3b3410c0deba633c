// The judge's figures for scripts.
#include <cmath>
#include <nlohmann/json.hpp>

#include "judge/judge.h"
#include "judge/statistics.h"

namespace octavo {
namespace {

using nlohmann::ordered_json;

// JSON has no infinities: they become null.
ordered_json number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}

ordered_json interval(const Interval& i) {
  return {{"mean", number(i.mean)}, {"low", number(i.low)}, {"high", number(i.high)}};
}

ordered_json steps(const std::vector<Interval>& list) {
  ordered_json out = ordered_json::array();
  for (const Interval& i : list) out.push_back(interval(i));
  return out;
}

ordered_json worst(const Comparison& c, bool teacher_forced) {
  const Worst w = worst_step(c, teacher_forced);
  if (w.step < 0) return nullptr;
  return {{"error", number(w.error)}, {"step", w.step}, {"prompt", w.prompt}, {"seed", w.seed}};
}

ordered_json comparison(const Comparison& c) {
  ordered_json figures, samples = ordered_json::array();
  for (const std::string& name : figure_names()) figures[name] = number(figure(c, name));
  for (const SampleResult& s : c.samples)
    samples.push_back({{"prompt", s.prompt},
                       {"seed", s.seed},
                       {"psnr", number(s.psnr)},
                       {"ssim", number(s.ssim)}});
  return {{"model", c.name},
          {"psnr", interval(psnr_interval(c))},
          {"ssim", interval(ssim_interval(c))},
          {"figures", figures},
          {"x0_error_teacher_forced", steps(step_errors(c, true))},
          {"x0_error_free_running", steps(step_errors(c, false))},
          {"worst_teacher_forced", worst(c, true)},
          {"worst_free_running", worst(c, false)},
          {"samples", samples}};
}

}  // namespace

std::string to_json(const Report& report) {
  ordered_json json{
      {"tool", "octavo"},       {"version", report.tool_version}, {"reference", report.reference},
      {"test", report.test},    {"recipe", report.recipe},        {"schedule", report.schedule},
      {"sigmas", report.sigmas}};
  json["device"] = report.device;
  json["sets"] = ordered_json::array();
  for (const SetReport& set : report.sets) {
    ordered_json list = ordered_json::array();
    for (const Comparison& c : set.comparisons) list.push_back(comparison(c));
    json["sets"].push_back({{"name", set.name}, {"comparisons", list}});
  }
  json["layers"] = ordered_json::array();
  for (const LayerAttestation& l : report.layers)
    json["layers"].push_back({{"component", l.component},
                              {"layer", l.layer},
                              {"op", l.op},
                              {"kernel", l.kernel},
                              {"precision", l.precision}});
  json["gates"] = ordered_json::array();
  for (const auto& g : report.gates)
    json["gates"].push_back({{"rule", g.rule}, {"found", number(g.found)}, {"passed", g.passed}});
  json["passed"] = report.passed();
  return json.dump(1) + "\n";
}

}  // namespace octavo
