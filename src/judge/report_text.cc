// The judge's table for the terminal.
#include <map>

#include "base/check.h"
#include "judge/judge.h"
#include "judge/statistics.h"

namespace octavo {
namespace {

std::string comparison_row(const std::string& set, const Comparison& c) {
  const Interval p = psnr_interval(c), s = ssim_interval(c);
  return fmt::format(
      "{:8s} {:6s} {:4d}  {:6.2f} [{:6.2f}, {:6.2f}] {:7.2f} {:7.2f} {:7.2f}  {:.4f} [{:.4f}, "
      "{:.4f}]\n",
      set, c.name, c.samples.size(), p.mean, p.low, p.high, psnr_of_mean_error(c),
      figure(c, "psnr.median"), figure(c, "psnr.min"), s.mean, s.low, s.high);
}

std::string worst_line(const std::string& set, const Comparison& c) {
  std::string text;
  for (bool teacher : {true, false}) {
    const Worst worst = worst_step(c, teacher);
    if (worst.step < 0) continue;
    text += fmt::format("{:8s} worst x0 error, {}: {:.3g} at step {} of \"{}\" (seed {})\n", set,
                        teacher ? "teacher-forced" : "free-running", worst.error, worst.step,
                        worst.prompt, worst.seed);
  }
  return text;
}

// What ran, layers of one kernel and precision together; the files have a row a layer.
std::string attestation(const Report& report) {
  std::map<std::pair<std::string, std::string>, int> layers;
  for (const LayerAttestation& l : report.layers) ++layers[{l.kernel, l.precision}];
  std::string text = fmt::format("layers by kernel, on {}\n", report.device);
  for (const auto& [what, count] : layers)
    text += fmt::format("{:6d}  {}  {}\n", count, what.first, what.second);
  return text + "\n";
}

}  // namespace

std::string summary(const Report& report) {
  std::string text = fmt::format("reference  {}\ntest       {}\n{}\n\n", report.reference,
                                 report.test, report.schedule);
  text +=
      "prompts  model   n    PSNR dB mean [95 %]       of MSE  median     min  SSIM mean [95 %]\n";
  for (const SetReport& set : report.sets)
    for (const Comparison& c : set.comparisons) text += comparison_row(set.name, c);
  text += "\n";
  for (const SetReport& set : report.sets) text += worst_line(set.name, set.comparisons.front());
  text += "\n";
  if (!report.layers.empty()) text += attestation(report);
  for (const auto& gate : report.gates)
    text += fmt::format("{}  {}   (found {:.4g})\n", gate.passed ? "pass" : "FAIL", gate.rule,
                        gate.found);
  if (!report.gates.empty())
    text += fmt::format("verdict: {}\n", report.passed() ? "passed" : "failed");
  return text;
}

}  // namespace octavo
