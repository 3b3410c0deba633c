#pragma once
// How the range of a static activation is found from calibration statistics. The range is the
// magnitude that the format's largest code stands for; larger values are clipped.
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "octavo/quant_spec.h"
#include "quant/stats.h"

namespace octavo {

// A row of the solver table with its parameter. Text form "absmax", "percentile:99.95".
struct Solver {
  std::string name = "absmax";
  double parameter = 0;
  // Error{invalid_argument} lists the solvers.
  static Solver parse(std::string_view text);
  std::string text() const;
  bool operator==(const Solver&) const = default;
};

struct SolverInfo {
  const char* name;
  const char* parameter;  // what it is, empty when there is none
  double low, high;       // its allowed values, both included
  const char* meaning;
  float (*range)(const StepStats& all_steps, const QuantSpec& spec, double parameter);
};
std::span<const SolverInfo> solver_table();

// The layer's scale: one value of the spec's scale format, [1, 1]. Error{not_finite} when the
// calibration saw NaN or infinity there: such a model overflows, and no scale is right for it.
Tensor solve_scale(const Stats& stats, const std::string& layer, const QuantSpec& spec,
                   const Solver& solver);

}  // namespace octavo
