#include "quant/layer_error.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "io/json.h"
#include "quant/input_transform.h"
#include "quant/matrix.h"
#include "tensor/quantize.h"

namespace octavo {
namespace {

constexpr double kLossless = 200;  // dB

// What the layer multiplies its transformed, rounded input with, and what it adds to that.
struct Form {
  Matrix rounded, branch;  // [out, in]; branch of no rows: none
};

Form form_of(const QuantizedLayer& layer, int64_t out, int64_t in) {
  Form form{to_matrix(dequantize(layer.weight, MatrixView::weight), out, in), {}};
  if (!layer.low_rank_up.has_data()) return form;
  const int64_t rank = layer.low_rank_down.dim(0);
  form.branch =
      multiply(to_matrix(layer.low_rank_up, out, rank), to_matrix(layer.low_rank_down, rank, in));
  return form;
}

Tensor scale_at(const QuantizedLayer& layer, const std::vector<float>& timesteps, int step,
                const std::string& name) {
  if (!layer.input_steps.has_data()) return layer.input_scale;
  OCTAVO_CHECK(step >= 0 && static_cast<size_t>(step) < timesteps.size(),
               "layer {} has an input scale a step, and the statistics have no timestep of step {}",
               name, step);
  const std::vector<float> known = layer.input_steps.to_floats();
  const float wanted = timesteps[static_cast<size_t>(step)];
  size_t best = 0;
  for (size_t i = 1; i < known.size(); ++i) {
    if (std::fabs(known[i] - wanted) < std::fabs(known[best] - wanted)) best = i;
  }
  const auto row = static_cast<int64_t>(best);
  return layer.input_scale.rows(row, row + 1);
}

Matrix round_rows(const Matrix& rows, const QuantizedLayer& layer, const Tensor& scale,
                  const std::string& name) {
  if (!layer.activation) return rows;
  const QuantSpec& spec = *layer.activation;
  const QuantizedTensor q = spec.timing == QuantSpec::Timing::static_
                                ? quantize_with_scale(to_tensor(rows), spec, MatrixView::activation,
                                                      scale.to(*find_dtype(spec.scale)), name)
                                : quantize(to_tensor(rows), spec, MatrixView::activation, name);
  return to_matrix(dequantize(q, MatrixView::activation), rows.rows(), rows.cols());
}

double squared(const Matrix& m) { return m.cast<double>().squaredNorm(); }

Vector added_bias(const QuantizedLayer& layer, const Tensor& bias, int64_t out) {
  if (!layer.bias.has_data()) return Vector::Zero(out);
  Vector added = to_matrix(layer.bias, 1, out).row(0).transpose();
  if (bias.has_data()) added -= to_matrix(bias, 1, out).row(0).transpose();
  return added;
}

double sqnr(const Matrix& wanted, const Form& form) {
  Matrix lost = wanted - form.rounded;
  if (form.branch.rows() != 0) lost -= form.branch;
  const double noise = squared(lost), signal = squared(wanted);
  return noise > 0 && signal > 0 ? std::min(kLossless, 10 * std::log10(signal / noise)) : kLossless;
}

}  // namespace

LayerError layer_error(const QuantizedLayer& layer, const Tensor& weight, const Tensor& bias,
                       const LayerStats& stats, const std::vector<float>& timesteps,
                       const std::string& name) {
  const auto [out, in] = matrix_extents(weight.shape(), MatrixView::weight);
  const Matrix w = to_matrix(weight, out, in);
  const Form form = form_of(layer, out, in);
  const Vector added = added_bias(layer, bias, out);
  LayerError result;
  int64_t count = 0;
  for (const auto& [step, values] : stats.steps) {
    const auto n = values.rows.size();
    if (n == 0) continue;
    Matrix x(n, in);
    int64_t at = 0;
    for (const auto& [hash, row] : values.rows.rows()) x.row(at++) = to_matrix(row, 1, in);
    const Matrix exact = multiply(x, w.transpose());
    const Matrix moved = transform_rows(x, layer.input);
    const Tensor scale = scale_at(layer, timesteps, step, name);
    Matrix made = multiply(round_rows(moved, layer, scale, name), form.rounded.transpose());
    if (form.branch.rows() != 0) made += multiply(moved, form.branch.transpose());
    made.rowwise() += added.transpose();
    result.error += squared(made - exact);
    result.energy += squared(exact);
    count += n;
  }
  OCTAVO_CHECK(count > 0,
               "layer {}: the statistics hold no rows of its input, which errors are measured on; "
               "calibrate again (rows are kept by default)",
               name);
  result.error /= static_cast<double>(count);
  result.energy /= static_cast<double>(count);
  result.weight_sqnr = sqnr(transform_weight(w, layer.input), form);
  return result;
}

double weight_sqnr(const QuantizedLayer& layer, const Tensor& weight) {
  const auto [out, in] = matrix_extents(weight.shape(), MatrixView::weight);
  return sqnr(transform_weight(to_matrix(weight, out, in), layer.input), form_of(layer, out, in));
}

std::vector<float> schedule_timesteps(const Stats& stats) {
  const Config schedule = Config::parse(stats.schedule, "schedule of the statistics");
  if (!schedule.has("timesteps")) return {};
  return schedule.json().at("timesteps").get<std::vector<float>>();
}

}  // namespace octavo
