#include "quant/layer_solver.h"

#include <Eigen/Cholesky>

#include "base/check.h"
#include "quant/bias_correction.h"
#include "quant/gptq.h"
#include "quant/low_rank.h"
#include "quant/sparsity.h"
#include "quant/weight_scales.h"

namespace octavo {
namespace {

using Words = LayerWords;

constexpr double kGramDamping = 1e-6;  // keeps a Gram matrix without full rank positive definite
// Sums of f32 products are known to about this part of them, which is all that is left of an input
// with a large mean once the mean is taken out.
constexpr double kMomentPrecision = 1e-5;
constexpr int kLowRankRounds = 2;  // of rounding what the branch leaves and fitting it anew

bool is_plain(const LayerProblem& p) {
  return is_identity(p.input) && p.words.rounding == Words::Rounding::nearest &&
         p.words.clip == Words::Clip::absmax && p.words.low_rank == 0 && !p.words.correct_bias &&
         p.words.sparsity == Words::Sparsity::none;
}

// Some matrix M of few rows with M^T M = sum over the members of W'^T W'.
Matrix output_metric(const InputGroup& group, const InputTransform& transform) {
  int64_t outputs = 0;
  for (size_t i = 0; i < group.members; ++i) outputs += group.weight(i).rows();
  if (outputs <= group.channels) {
    Matrix stacked(outputs, group.channels);
    for (size_t i = 0, at = 0; i < group.members; ++i) {
      const Matrix w = transform_weight(group.weight(i), transform);
      stacked.middleRows(static_cast<int64_t>(at), w.rows()) = w;
      at += static_cast<size_t>(w.rows());
    }
    return stacked;
  }
  MatrixD gram = MatrixD::Zero(group.channels, group.channels);
  for (size_t i = 0; i < group.members; ++i) {
    const Matrix w = transform_weight(group.weight(i), transform);
    gram += multiply(w.transpose(), w).cast<double>();
  }
  const Eigen::LLT<MatrixD> llt(damped(gram, kGramDamping));
  OCTAVO_CHECK_CODE(not_finite, llt.info() == Eigen::Success,
                    "layer {}: its weight's Gram matrix has no Cholesky factor", group.name);
  return MatrixD(llt.matrixU()).cast<float>();
}

// Rows as the kernels round them; steps' rows one below the other.
struct RoundedRows {
  Matrix rows, rounded;
};

Tensor step_scale(const InputScales& scales, int step) {
  if (!scales.scale.has_data()) return {};
  const int64_t row = scales.row_of_step.empty() ? 0 : scales.row_of_step.at(step);
  return scales.scale.rows(row, row + 1);
}

RoundedRows round_inputs(const LayerProblem& p) {
  RoundedRows result;
  if (!p.scheme.activation) return result;
  const std::vector<StepValues> values = input_values(*p.stats, p.input, p.name);
  int64_t count = 0;
  for (const StepValues& step : values) count += step.rows.rows();
  OCTAVO_CHECK(count != 0,
               "layer {}: correct-bias with rounded activations needs recorded input rows, and the "
               "statistics have none",
               p.name);
  for (size_t i = 0, at = 0; i < values.size(); ++i) {
    const Matrix& rows = values[i].rows;
    if (i == 0) {
      result.rows.resize(count, rows.cols());
      result.rounded.resize(count, rows.cols());
    }
    if (rows.rows() == 0) continue;
    const QuantSpec& spec = *p.scheme.activation;
    const QuantizedTensor q =
        is_static(p.scheme)
            ? quantize_with_scale(to_tensor(rows), spec, MatrixView::activation,
                                  step_scale(p.scales, values[i].step).to(*find_dtype(spec.scale)),
                                  p.name)
            : quantize(to_tensor(rows), spec, MatrixView::activation, p.name);
    const auto begin = static_cast<int64_t>(at);
    result.rows.middleRows(begin, rows.rows()) = rows;
    result.rounded.middleRows(begin, rows.rows()) =
        to_matrix(dequantize(q, MatrixView::activation), rows.rows(), rows.cols());
    at += static_cast<size_t>(rows.rows());
  }
  return result;
}

// One layer's solution as it grows.
class LayerSolver {
 public:
  explicit LayerSolver(const LayerProblem& p)
      : p_(p),
        rows_(matrix_extents(p.weight.shape(), MatrixView::weight).first),
        cols_(matrix_extents(p.weight.shape(), MatrixView::weight).second),
        source_(to_matrix(p.weight, rows_, cols_)),
        weight_(transform_weight(source_, p.input)) {
    OCTAVO_CHECK_CODE(not_finite, source_.allFinite(),
                      "{}: the weight has NaN or infinite values; only finite values can be "
                      "quantized",
                      p.where);
    if (uses_moments(p.words)) find_moment();
  }

  QuantizedLayer run() {
    QuantizedLayer layer;
    layer.activation = p_.scheme.activation;
    layer.input = p_.input;
    layer.input_scale = p_.scales.scale;
    layer.input_steps = p_.scales.steps;
    layer.two_of_four = stores_two_of_four(p_.words, p_.scheme);
    if (p_.words.low_rank == 0) {
      layer.weight = round(weight_);
    } else {
      const LowRank branch = solve_branch(layer.weight);
      layer.low_rank_down = branch.down;
      layer.low_rank_up = branch.up;
    }
    if (replaces_bias(p_.words)) layer.bias = solve_bias();
    return layer;
  }

 private:
  // Where the bias takes the mean error out, only the inputs' deviations count.
  void find_moment() {
    const SecondMoment& moment = p_.stats->moment;
    OCTAVO_CHECK(!moment.empty(),
                 "layer {}: {}, and the statistics have none of it; calibrate with second moments",
                 p_.name, statistics_needed(p_.words, p_.scheme));
    const VectorD mean = moment_mean(moment);
    MatrixD second = moment_matrix(moment);
    second.diagonal() *= 1 + kMomentPrecision;
    moment_ = transform_moment(second, mean, p_.input);
    if (p_.words.correct_bias) {
      const VectorD m = transform_mean(mean, p_.input);
      moment_ -= m * m.transpose();
    }
    moment_ = damped(moment_, p_.words.damping);
  }

  // `target` in the weight's format; its values go to values_.
  QuantizedTensor round(const Matrix& target) {
    Mask mask;
    if (p_.words.sparsity == Words::Sparsity::magnitude) mask = largest_two_of_four(target);
    const Matrix kept = masked(target, mask);
    WeightGrid grid(p_.scheme.weight, kept);
    if (p_.words.clip != Words::Clip::absmax) {
      const Vector importance = p_.words.clip == Words::Clip::mse
                                    ? Vector(Vector::Ones(cols_))
                                    : Vector(moment_.diagonal().cast<float>());
      clip_scales(kept, importance, grid);
    }
    const bool prune = p_.words.sparsity == Words::Sparsity::hessian;
    Matrix codes = p_.words.rounding == Words::Rounding::gptq || prune
                       ? gptq_round(target, moment_, grid, mask, prune)
                       : grid.round(kept);
    values_ = grid.values(codes);
    return grid.pack(codes, p_.weight.shape());
  }

  // The branch takes what it can of the weight, rounding the rest, then of the rounding's error.
  LowRank solve_branch(QuantizedTensor& weight) {
    LowRank branch = best_low_rank(weight_, moment_, p_.words.low_rank);
    for (int i = 0; i < kLowRankRounds; ++i) {
      weight = round(weight_ - product(branch));
      branch = best_low_rank(weight_ - values_, moment_, p_.words.low_rank);
    }
    branch_ = product(branch);
    return branch;
  }

  Tensor solve_bias() const {
    VectorD bias = VectorD::Zero(rows_);
    if (p_.bias.has_data()) {
      bias = to_matrix(p_.bias, 1, rows_).row(0).transpose().cast<double>();
    }
    if (p_.input.shift.has_data()) {
      const Matrix shift = to_matrix(p_.input.shift, 1, cols_);
      bias += source_.cast<double>() * shift.row(0).transpose().cast<double>();
    }
    if (p_.words.correct_bias) {
      const RoundedRows inputs = round_inputs(p_);
      bias += mean_output_error(weight_, values_, branch_,
                                transform_mean(channel_means(*p_.stats), p_.input), inputs.rows,
                                inputs.rounded);
    }
    return to_tensor(Vector(bias.cast<float>()));
  }

  const LayerProblem& p_;
  int64_t rows_, cols_;
  Matrix source_, weight_;  // as in the checkpoint, and for the transformed input
  MatrixD moment_;          // of the transformed input, damped
  Matrix values_, branch_;  // what takes the weight's place
};

}  // namespace

bool replaces_bias(const LayerWords& words) {
  return words.correct_bias || words.input.shift != InputWords::Shift::none;
}

bool stores_two_of_four(const LayerWords& words, const Scheme& scheme) {
  return words.sparsity != LayerWords::Sparsity::none && !scheme.weight.zero_point;
}

InputScales solve_input_scales(const InputGroup& group, const InputTransform& transform,
                               const std::vector<float>& timesteps) {
  InputScales scales;
  if (!group.activation || group.activation->timing != QuantSpec::Timing::static_) return scales;
  const LayerWords& words = group.words;
  const std::vector<StepValues> values = input_values(*group.stats, transform, group.name);
  const Matrix metric =
      find_solver(words.solver).wants_metric ? output_metric(group, transform) : Matrix();
  if (!words.scale_each_step) {
    const RangeProblem all{values, *group.activation, metric};
    scales.scale = Tensor::from({solve_scale(all, words.solver, words.margin)}, {1, 1});
    return scales;
  }
  std::map<float, std::pair<int, float>> each;  // by timestep: step and scale
  for (const StepValues& step : values) {
    OCTAVO_CHECK(step.step >= 0 && static_cast<size_t>(step.step) < timesteps.size(),
                 "layer {}: steps=each is for layers of the denoising loop, and the statistics {}",
                 group.name,
                 step.step < 0 ? "met it outside" : "have no timestep for some of its steps");
    const RangeProblem one{{&step, 1}, *group.activation, metric};
    each[timesteps[static_cast<size_t>(step.step)]] = {
        step.step, solve_scale(one, words.solver, words.margin)};
  }
  std::vector<float> values_of_steps, steps;
  for (const auto& [timestep, found] : each) {
    scales.row_of_step[found.first] = static_cast<int64_t>(steps.size());
    values_of_steps.push_back(found.second);
    steps.push_back(timestep);
  }
  const auto n = static_cast<int64_t>(steps.size());
  scales.scale = Tensor::from(values_of_steps, {n, 1});
  scales.steps = Tensor::from(steps, {n});
  return scales;
}

QuantizedLayer solve_layer(const LayerProblem& problem) {
  if (!is_plain(problem)) return LayerSolver(problem).run();
  QuantizedLayer layer;
  layer.weight = quantize(problem.weight, problem.scheme.weight, MatrixView::weight, problem.where);
  layer.activation = problem.scheme.activation;
  layer.input_scale = problem.scales.scale;
  layer.input_steps = problem.scales.steps;
  return layer;
}

}  // namespace octavo
