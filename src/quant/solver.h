#pragma once
// How the range of a static activation is found from calibration statistics. The range is the
// magnitude that the format's largest code stands for; larger values are clipped.
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "octavo/quant_spec.h"
#include "quant/matrix.h"
#include "quant/stats.h"

namespace octavo {

struct StepValues;  // input_values.h

// How Model-Optimizer's "Percentile Quant" collects the magnitudes of a step and then the steps
// (its PercentileCalibrator): one magnitude a call, here a sample (picture), the largest of it.
//   min-mean    the least over the steps of (sum over the calls) / (number of steps). A quirk of
//   the
//               original: not divided by the number of calls, so it is a mean only when the two
//               agree
//   mean-max    the mean over the steps of the largest of the calls
//   min-max     the least over the steps of the largest of the calls
//   global-min  the least of all
enum class StepMethod : uint8_t { min_mean, mean_max, min_max, global_min };

// A row of the solver table with its parameter. Text form "absmax", "percentile:99.95",
// "steps:min-mean:1".
struct Solver {
  std::string name = "absmax";
  double parameter = 0;
  StepMethod method = StepMethod::min_mean;  // of "steps"
  // Error{invalid_argument} lists the solvers.
  static Solver parse(std::string_view text);
  std::string text() const;
  bool operator==(const Solver&) const = default;
};

// What a solver is given: the values of the steps that share the scale.
struct RangeProblem {
  std::span<const StepValues> steps;
  const QuantSpec& spec;
  // The least squared error of  (x - rounded x) metric^T  is the least error of the layer's output:
  // [any, channels], empty unless the solver wants it.
  const Matrix& metric;
};

struct SolverInfo {
  const char* name;
  const char* parameter;  // what it is, empty when there is none
  double low, high;       // its allowed values, both included
  const char* meaning;
  float (*range)(const RangeProblem& problem, const Solver& solver);
  bool wants_metric = false;
};
std::span<const SolverInfo> solver_table();
const SolverInfo& find_solver(const Solver& solver);

// One value of the spec's scale format for all the steps: margin times the solver's range.
float solve_scale(const RangeProblem& problem, const Solver& solver, double margin = 1);

// The scale of a tensor that is rounded as it is, [1, 1]. Error{not_finite} when the calibration
// saw NaN or infinity there: such a model overflows, and no scale is right for it. Not for solvers
// that want a metric.
Tensor solve_scale(const Stats& stats, const std::string& layer, const QuantSpec& spec,
                   const Solver& solver);

// TensorRT's entropy calibration of a histogram of magnitudes of equal bins, first at 0: how many
// bins to keep so that their distribution, rounded to `levels` levels, has the least relative
// entropy to the clipped one; the last of equals. As pytorch-quantization and Model-Optimizer
// compute it (calib/histogram.py, _compute_amax_entropy): at least 128 bins, the first bin counts
// as the second.
int entropy_bins(const std::vector<double>& histogram, int levels);

}  // namespace octavo
