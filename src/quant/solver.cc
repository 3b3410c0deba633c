#include "quant/solver.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "quant/histogram.h"
#include "quant/input_values.h"
#include "tensor/quantize.h"

namespace octavo {
namespace {

using Steps = std::span<const StepValues>;

struct MethodName {
  std::string_view name;
  StepMethod method;
};
constexpr MethodName kMethods[] = {{"min-mean", StepMethod::min_mean},
                                   {"mean-max", StepMethod::mean_max},
                                   {"min-max", StepMethod::min_max},
                                   {"global-min", StepMethod::global_min}};

float absmax_of(Steps steps) {
  float most = 0;
  for (const StepValues& step : steps) most = std::max(most, step.absmax);
  return most;
}

std::vector<uint64_t> histogram_of(Steps steps) {
  std::vector<uint64_t> sum(Histogram::kBins);
  for (const StepValues& step : steps) {
    for (int b = 0; b < Histogram::kBins; ++b) sum[b] += step.histogram[b];
  }
  return sum;
}

std::vector<float> rounded(const std::vector<float>& values, const QuantSpec& spec, float scale) {
  const int64_t n = static_cast<int64_t>(values.size());
  const Tensor scale_tensor = Tensor::from({scale}, {1, 1}).to(*find_dtype(spec.scale));
  const QuantizedTensor q =
      quantize_with_scale(Tensor::from(values, {1, n}), spec, MatrixView::activation, scale_tensor);
  return dequantize(q, MatrixView::activation).to_floats();
}

float absmax_range(const RangeProblem& problem, const Solver&) { return absmax_of(problem.steps); }

float percentile_range(const RangeProblem& problem, const Solver& solver) {
  return Histogram::quantile(histogram_of(problem.steps), solver.parameter / 100,
                             absmax_of(problem.steps));
}

// Magnitudes and how often they were met. A bin's values are taken to lie at kPoints even places.
struct Points {
  std::vector<float> values;
  std::vector<double> counts;
};

Points points_of(const RangeProblem& problem) {
  constexpr int kPoints = 8;
  const std::vector<uint64_t> histogram = histogram_of(problem.steps);
  const float most = absmax_of(problem.steps);
  Points points;
  for (int b = 0; b < Histogram::kBins; ++b) {
    if (histogram[b] == 0) continue;
    const float low = Histogram::lower(b),
                high = std::max(low, std::min(Histogram::upper(b), most));
    for (int i = 0; i < kPoints; ++i) {
      points.values.push_back(low + (high - low) * (static_cast<float>(i) + 0.5f) / kPoints);
      points.counts.push_back(static_cast<double>(histogram[b]) / kPoints);
    }
  }
  return points;
}

// Expected squared error of rounding and clipping when `range` is the format's largest code.
double squared_error(const Points& points, const QuantSpec& spec, float range) {
  const std::vector<float> back = rounded(points.values, spec, scale_for_absmax(spec, range));
  double sum = 0;
  for (size_t i = 0; i < back.size(); ++i) {
    const double error = static_cast<double>(points.values[i]) - back[i];
    sum += points.counts[i] * error * error;
  }
  return sum;
}

// The least error of ranges from absmax down, `tried` of them, each by `octaves` less.
template <class F>
float search_range(float most, int tried, double octaves, F&& error_of) {
  float best_range = most;
  double best = error_of(most);
  for (int i = 1; i <= tried; ++i) {
    const float range = most * static_cast<float>(std::exp2(-i * octaves));
    const double error = error_of(range);
    if (error < best) {
      best = error;
      best_range = range;
    }
  }
  return best_range;
}

float mse_range(const RangeProblem& problem, const Solver&) {
  const Points points = points_of(problem);
  return search_range(absmax_of(problem.steps), 256, 1 / 32.0,
                      [&](float range) { return squared_error(points, problem.spec, range); });
}

constexpr int kEntropyBins = 2048;

// |x| in equal bins from 0 to absmax: of the recorded rows where there are some, else the bins of
// histogram.h, each spread evenly.
std::vector<double> even_histogram(const RangeProblem& problem, float most) {
  std::vector<double> bins(kEntropyBins);
  const double width = double{most} / kEntropyBins;
  const auto bin_of = [&](double v) {
    return std::clamp(static_cast<int>(v / width), 0, kEntropyBins - 1);
  };
  bool any = false;
  for (const StepValues& step : problem.steps) {
    any |= step.rows.size() != 0;
    for (int64_t i = 0; i < step.rows.size(); ++i) {
      bins[static_cast<size_t>(bin_of(std::abs(step.rows.data()[i])))] += 1;
    }
  }
  if (any) return bins;
  const std::vector<uint64_t> histogram = histogram_of(problem.steps);
  for (int b = 0; b < Histogram::kBins; ++b) {
    if (histogram[b] == 0) continue;
    const double low = Histogram::lower(b), high = std::min<double>(Histogram::upper(b), most);
    const int first = bin_of(low), last = std::max(first, bin_of(high - width / 2));
    const double share = std::floor(static_cast<double>(histogram[b]) / (last - first + 1));
    for (int i = first; i <= last; ++i) bins[static_cast<size_t>(i)] += share;
    bins[static_cast<size_t>(first)] +=
        static_cast<double>(histogram[b]) - share * (last - first + 1);
  }
  return bins;
}

float entropy_range(const RangeProblem& problem, const Solver&) {
  const float most = absmax_of(problem.steps);
  if (most == 0) return 0;
  const int levels = 1 << (info(*find_dtype(problem.spec.format)).bits - 1);
  const int kept = entropy_bins(even_histogram(problem, most), levels);
  return static_cast<float>(double{most} * kept / kEntropyBins);
}

// All steps' rows, one below the other.
Matrix all_rows(Steps steps) {
  int64_t rows = 0;
  for (const StepValues& step : steps) rows += step.rows.rows();
  Matrix all(rows, rows == 0 ? 0 : steps[0].rows.cols());
  for (int64_t at = 0; const StepValues& step : steps) {
    if (step.rows.rows() != 0) all.middleRows(at, step.rows.rows()) = step.rows;
    at += step.rows.rows();
  }
  return all;
}

float output_range(const RangeProblem& problem, const Solver&) {
  OCTAVO_ASSERT(problem.metric.size() != 0);
  const Matrix rows = all_rows(problem.steps);
  const Matrix metric = problem.metric.transpose();
  const std::vector<float> values(rows.data(), rows.data() + rows.size());
  return search_range(absmax_of(problem.steps), 20, 1 / 8.0, [&](float range) {
    const std::vector<float> back =
        rounded(values, problem.spec, scale_for_absmax(problem.spec, range));
    const Matrix error = rows - Eigen::Map<const Matrix>(back.data(), rows.rows(), rows.cols());
    return multiply(error, metric).cast<double>().squaredNorm();
  });
}

float steps_range(const RangeProblem& problem, const Solver& solver) {
  const auto total = static_cast<double>(problem.steps.size());
  const auto used = static_cast<size_t>(total * solver.parameter);  // rounded down, as there
  OCTAVO_CHECK(used >= 1, "solver {}: a fraction of {} of {} denoising steps is none of them",
               solver.text(), solver.parameter, problem.steps.size());
  std::vector<double> each;
  for (const StepValues& step : problem.steps.first(used)) {
    each.push_back(solver.method == StepMethod::min_mean     ? step.sample_absmax_sum / total
                   : solver.method == StepMethod::global_min ? double{step.sample_absmax_min}
                                                             : double{step.absmax});
  }
  if (solver.method != StepMethod::mean_max) {
    return static_cast<float>(*std::min_element(each.begin(), each.end()));
  }
  double sum = 0;
  for (const double v : each) sum += v;
  return static_cast<float>(sum / static_cast<double>(used));
}

constexpr SolverInfo kTable[] = {
    {"absmax", "", 0, 0, "the largest magnitude met", absmax_range},
    {"percentile", "percent", 50, 100, "a quantile of the magnitudes; larger ones are clipped",
     percentile_range},
    {"mse", "", 0, 0, "the range with the least squared error of rounding and clipping", mse_range},
    {"entropy", "", 0, 0, "TensorRT's: the range that changes the distribution least",
     entropy_range},
    {"output", "", 0, 0, "the range with the least squared error of the layer's output",
     output_range, true},
    {"steps", "fraction", 0, 1,
     "Model-Optimizer's Percentile Quant: of the first fraction of the denoising steps",
     steps_range},
};

const SolverInfo* find_row(std::string_view name) {
  for (const SolverInfo& row : kTable) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string example(const SolverInfo& row) {
  if (*row.parameter == '\0') return row.name;
  const bool has_method = row.name == std::string_view("steps");
  return fmt::format("{}{}", row.name, has_method ? ":min-mean:1" : ":99.9");
}

std::string solver_names() {
  std::string names;
  for (const SolverInfo& row : kTable) names += " " + example(row);
  return names;
}

StepMethod parse_method(std::string_view text, std::string_view name) {
  std::vector<std::string_view> names;
  for (const MethodName& row : kMethods) {
    if (row.name == name) return row.method;
    names.push_back(row.name);
  }
  OCTAVO_FAIL(invalid_argument, "solver '{}': the method '{}' is not one of: {}", text, name,
              fmt::join(names, " "));
}

std::string_view method_name(StepMethod method) {
  for (const MethodName& row : kMethods) {
    if (row.method == method) return row.name;
  }
  OCTAVO_ASSERT(false);
  return {};
}

}  // namespace

std::span<const SolverInfo> solver_table() { return kTable; }

const SolverInfo& find_solver(const Solver& solver) {
  const SolverInfo* row = find_row(solver.name);
  OCTAVO_ASSERT(row != nullptr);
  return *row;
}

Solver Solver::parse(std::string_view text) {
  const size_t colon = text.find(':');
  const SolverInfo* row = find_row(text.substr(0, colon));
  OCTAVO_CHECK(row != nullptr, "unknown solver '{}'; expected one of:{}", text, solver_names());
  Solver solver;
  solver.name = row->name;
  const bool wants = *row->parameter != '\0';
  OCTAVO_CHECK(wants == (colon != text.npos), "solver '{}': {} {}", text, row->name,
               wants ? fmt::format("needs a {}, as in {}", row->parameter, example(*row))
                     : "takes no parameter");
  if (!wants) return solver;
  std::string_view number = text.substr(colon + 1);
  if (solver.name == "steps") {
    const size_t second = number.find(':');
    solver.method = parse_method(text, number.substr(0, second));
    number = second == number.npos ? "" : number.substr(second + 1);
  }
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), solver.parameter);
  OCTAVO_CHECK(error == std::errc() && end == number.data() + number.size() &&
                   solver.parameter >= row->low && solver.parameter <= row->high,
               "solver '{}': the {} '{}' is not a number from {} to {}", text, row->parameter,
               number, row->low, row->high);
  return solver;
}

std::string Solver::text() const {
  if (name == "steps") return fmt::format("steps:{}:{}", method_name(method), parameter);
  return *find_row(name)->parameter ? fmt::format("{}:{}", name, parameter) : name;
}

float solve_scale(const RangeProblem& problem, const Solver& solver, double margin) {
  const float range = find_solver(solver).range(problem, solver);
  return scale_for_absmax(problem.spec, static_cast<float>(margin * range));
}

Tensor solve_scale(const Stats& stats, const std::string& layer, const QuantSpec& spec,
                   const Solver& solver) {
  OCTAVO_CHECK(!find_solver(solver).wants_metric,
               "{}: solver {} needs a layer's weight; give another", layer, solver.text());
  const std::vector<StepValues> values = input_values(stats.layer(layer), {}, layer);
  return Tensor::from({solve_scale(RangeProblem{values, spec, Matrix()}, solver)}, {1, 1});
}

}  // namespace octavo
