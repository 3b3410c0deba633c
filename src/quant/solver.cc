#include "quant/solver.h"

#include <charconv>
#include <cmath>

#include "base/check.h"
#include "quant/histogram.h"
#include "tensor/quantize.h"

namespace octavo {
namespace {

float absmax_range(const StepStats& stats, const QuantSpec&, double) { return stats.absmax; }

float percentile_range(const StepStats& stats, const QuantSpec&, double percent) {
  return Histogram::quantile(stats.histogram, percent / 100, stats.absmax);
}

// Expected squared error of rounding and clipping when `range` is the format's largest code. A
// bin's values are taken to lie at kPoints even places of it.
double squared_error(const StepStats& stats, const QuantSpec& spec, float range) {
  constexpr int kPoints = 8;
  const float scale = scale_for_absmax(spec, range);
  const Tensor scale_tensor = Tensor::from({scale}, {1, 1}).to(*find_dtype(spec.scale));
  std::vector<float> points;
  std::vector<double> weights;
  for (int b = 0; b < Histogram::kBins; ++b) {
    if (stats.histogram[b] == 0) continue;
    const float low = Histogram::lower(b), high = std::min(Histogram::upper(b), stats.absmax);
    for (int i = 0; i < kPoints; ++i) {
      points.push_back(low + (high - low) * (static_cast<float>(i) + 0.5f) / kPoints);
      weights.push_back(static_cast<double>(stats.histogram[b]) / kPoints);
    }
  }
  const int64_t n = static_cast<int64_t>(points.size());
  const QuantizedTensor q =
      quantize_with_scale(Tensor::from(points, {1, n}), spec, MatrixView::activation, scale_tensor);
  const std::vector<float> back = dequantize(q, MatrixView::activation).to_floats();
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double error = static_cast<double>(points[i]) - back[i];
    sum += weights[i] * error * error;
  }
  return sum;
}

// Ranges tried: absmax and below it in 32nds of an octave, down to absmax / 256.
float mse_range(const StepStats& stats, const QuantSpec& spec, double) {
  constexpr int kTried = 256;
  float best_range = stats.absmax;
  double best = squared_error(stats, spec, best_range);
  for (int i = 1; i <= kTried; ++i) {
    const float range = stats.absmax * static_cast<float>(std::exp2(-i / 32.0));
    const double error = squared_error(stats, spec, range);
    if (error < best) {
      best = error;
      best_range = range;
    }
  }
  return best_range;
}

constexpr SolverInfo kTable[] = {
    {"absmax", "", 0, 0, "the largest magnitude met", absmax_range},
    {"percentile", "percent", 50, 100, "a quantile of the magnitudes; larger ones are clipped",
     percentile_range},
    {"mse", "", 0, 0, "the range with the least squared error of rounding and clipping", mse_range},
};

const SolverInfo* find_solver(std::string_view name) {
  for (const SolverInfo& row : kTable) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string solver_names() {
  std::string names;
  for (const SolverInfo& row : kTable) {
    names += fmt::format(" {}{}", row.name, *row.parameter ? ":99.9" : "");
  }
  return names;
}

}  // namespace

std::span<const SolverInfo> solver_table() { return kTable; }

Solver Solver::parse(std::string_view text) {
  const size_t colon = text.find(':');
  const SolverInfo* row = find_solver(text.substr(0, colon));
  OCTAVO_CHECK(row != nullptr, "unknown solver '{}'; expected one of:{}", text, solver_names());
  Solver solver{row->name, 0};
  const bool wants = *row->parameter != '\0';
  OCTAVO_CHECK(wants == (colon != text.npos), "solver '{}': {} {}", text, row->name,
               wants ? fmt::format("needs a {}, as in {}:99.9", row->parameter, row->name)
                     : "takes no parameter");
  if (!wants) return solver;
  const std::string_view number = text.substr(colon + 1);
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), solver.parameter);
  OCTAVO_CHECK(error == std::errc() && end == number.data() + number.size() &&
                   solver.parameter >= row->low && solver.parameter <= row->high,
               "solver '{}': the {} '{}' is not a number from {} to {}", text, row->parameter,
               number, row->low, row->high);
  return solver;
}

std::string Solver::text() const {
  return *find_solver(name)->parameter ? fmt::format("{}:{}", name, parameter) : name;
}

Tensor solve_scale(const Stats& stats, const std::string& layer, const QuantSpec& spec,
                   const Solver& solver) {
  const SolverInfo* row = find_solver(solver.name);
  OCTAVO_ASSERT(row != nullptr);
  const StepStats all = stats.all_steps(layer);
  OCTAVO_CHECK_CODE(not_finite, all.non_finite == 0,
                    "layer {} met {} NaN or infinite inputs of {} while it was calibrated; the "
                    "model overflows there, so no static scale is right",
                    layer, all.non_finite, all.count);
  return Tensor::from({scale_for_absmax(spec, row->range(all, spec, solver.parameter))}, {1, 1});
}

}  // namespace octavo
