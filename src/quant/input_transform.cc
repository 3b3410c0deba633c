#include "quant/input_transform.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/threads.h"

namespace octavo {
namespace {

constexpr int64_t kRowGrain = 16;
constexpr float kSmallest = 1e-4f, kLargest = 1e4f;  // of 1 / multiplier
constexpr int kAlphas = 21;                          // 0 to 1
constexpr int64_t kTuningRows = 256;

void rotate_block(float* x, int64_t n) {
  for (int64_t half = 1; half < n; half *= 2) {
    for (int64_t i = 0; i < n; i += 2 * half) {
      for (int64_t j = i; j < i + half; ++j) {
        const float a = x[j], b = x[j + half];
        x[j] = a + b;
        x[j + half] = a - b;
      }
    }
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(n));
  for (int64_t i = 0; i < n; ++i) x[i] *= scale;
}

Vector as_vector(const Tensor& tensor) {
  return to_matrix(tensor, 1, tensor.elements()).row(0).transpose();
}

Vector shift_of(const InputGroup& group) {
  if (group.words.input.shift == InputWords::Shift::mean) {
    return channel_means(*group.stats).cast<float>();
  }
  return 0.5f * (channel_low(*group.stats) + channel_high(*group.stats));
}

Vector column_absmax(const InputGroup& group) {
  Vector most = Vector::Zero(group.channels);
  for (size_t i = 0; i < group.members; ++i) {
    const Vector columns = group.weight(i).cwiseAbs().colwise().maxCoeff().transpose();
    most = most.cwiseMax(columns);
  }
  return most;
}

Vector column_norms(const InputGroup& group) {
  VectorD sum = VectorD::Zero(group.channels);
  for (size_t i = 0; i < group.members; ++i) {
    sum += group.weight(i).cast<double>().cwiseAbs2().colwise().sum().transpose();
  }
  return sum.cwiseSqrt().cast<float>();
}

// Root mean square of x - shift.
Vector input_rms(const InputGroup& group, const InputTransform& transform) {
  const SecondMoment& moment = group.stats->moment;
  OCTAVO_CHECK(!moment.empty(),
               "layer {}: smooth=rms needs second moments of the input, and the statistics have "
               "none of it; calibrate with second moments",
               group.name);
  InputTransform shift;
  shift.shift = transform.shift;
  const MatrixD second = transform_moment(moment_matrix(moment), moment_mean(moment), shift);
  return second.diagonal().cwiseMax(0.0).cwiseSqrt().cast<float>();
}

// Logarithms keep their mean: what scales the whole input away is left to the scales.
Vector multiplier_for(const Vector& input, const Vector& weight, double alpha) {
  VectorD logs = VectorD::Zero(input.size());
  double sum = 0;
  int64_t count = 0;
  for (int64_t c = 0; c < input.size(); ++c) {
    if (!(input[c] > 0) || !(weight[c] > 0)) continue;
    logs[c] = alpha * std::log(double{input[c]}) - (1 - alpha) * std::log(double{weight[c]});
    sum += logs[c];
    ++count;
  }
  Vector multiplier = Vector::Ones(input.size());
  for (int64_t c = 0; c < input.size(); ++c) {
    if (!(input[c] > 0) || !(weight[c] > 0)) continue;
    const auto divisor = static_cast<float>(std::exp(logs[c] - sum / static_cast<double>(count)));
    multiplier[c] = 1 / std::clamp(divisor, kSmallest, kLargest);
  }
  return multiplier;
}

Matrix rounded_rows(const Matrix& rows, const QuantSpec& spec) {
  const QuantizedTensor q = quantize(to_tensor(rows), spec, MatrixView::activation, "rows");
  return to_matrix(dequantize(q, MatrixView::activation), rows.rows(), rows.cols());
}

Matrix rounded_weight(const Matrix& weight, const QuantSpec& spec) {
  const QuantizedTensor q = quantize(to_tensor(weight), spec, MatrixView::weight, "weight");
  return to_matrix(dequantize(q, MatrixView::weight), weight.rows(), weight.cols());
}

double output_error(const InputGroup& group, const std::vector<Matrix>& outputs, const Matrix& rows,
                    const InputTransform& transform) {
  Matrix x = transform_rows(rows, transform);
  if (group.activation) x = rounded_rows(x, *group.activation);
  double sum = 0;
  for (size_t i = 0; i < group.members; ++i) {
    const Matrix w =
        rounded_weight(transform_weight(group.weight(i), transform), group.weight_spec);
    sum += (multiply(x, w.transpose()) - outputs[i]).cast<double>().squaredNorm();
  }
  return sum;
}

// Tries every alpha with the rest of the transform as it is.
Vector tune_multiplier(const InputGroup& group, const Vector& input, const Vector& weight,
                       InputTransform transform) {
  const Matrix rows = recorded_rows(*group.stats, kTuningRows);
  OCTAVO_CHECK(rows.rows() != 0,
               "layer {}: smooth=auto needs recorded input rows, and the statistics have none; "
               "calibrate with rows, or give smooth=ALPHA",
               group.name);
  Matrix shifted = rows;
  if (transform.shift.has_data()) shifted.rowwise() -= as_vector(transform.shift).transpose();
  std::vector<Matrix> outputs;
  for (size_t i = 0; i < group.members; ++i) {
    outputs.push_back(multiply(shifted, group.weight(i).transpose()));
  }
  double best = 0;
  Vector best_multiplier;
  for (int i = 0; i < kAlphas; ++i) {
    const Vector multiplier = multiplier_for(input, weight, i / double{kAlphas - 1});
    transform.multiplier = to_tensor(multiplier);
    const double error = output_error(group, outputs, rows, transform);
    if (i == 0 || error < best) {
      best = error;
      best_multiplier = multiplier;
    }
  }
  return best_multiplier;
}

}  // namespace

void rotate_rows(Matrix& rows, int64_t block) {
  if (block == 0) return;
  OCTAVO_ASSERT(rows.cols() % block == 0);
  parallel_for(rows.rows(), kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c < rows.cols(); c += block) rotate_block(rows.row(r).data() + c, block);
    }
  });
}

bool is_identity(const InputTransform& transform) {
  return !transform.shift.has_data() && !transform.multiplier.has_data() && transform.rotation == 0;
}

Matrix transform_rows(const Matrix& rows, const InputTransform& transform) {
  Matrix result = rows;
  if (transform.shift.has_data()) result.rowwise() -= as_vector(transform.shift).transpose();
  if (transform.multiplier.has_data()) {
    result.array().rowwise() *= as_vector(transform.multiplier).transpose().array();
  }
  rotate_rows(result, transform.rotation);
  return result;
}

Matrix transform_weight(const Matrix& weight, const InputTransform& transform) {
  Matrix result = weight;
  if (transform.multiplier.has_data()) {
    result.array().rowwise() /= as_vector(transform.multiplier).transpose().array();
  }
  rotate_rows(result, transform.rotation);
  return result;
}

MatrixD transform_moment(const MatrixD& second, const VectorD& mean,
                         const InputTransform& transform) {
  MatrixD moment = second;
  if (transform.shift.has_data()) {
    const VectorD shift = as_vector(transform.shift).cast<double>();
    moment += shift * shift.transpose() - mean * shift.transpose() - shift * mean.transpose();
  }
  if (transform.multiplier.has_data()) {
    const VectorD m = as_vector(transform.multiplier).cast<double>();
    moment = m.asDiagonal() * moment * m.asDiagonal();
  }
  if (transform.rotation == 0) return moment;
  Matrix half = moment.cast<float>();
  rotate_rows(half, transform.rotation);
  half.transposeInPlace();
  rotate_rows(half, transform.rotation);
  return half.cast<double>();
}

VectorD transform_mean(const VectorD& mean, const InputTransform& transform) {
  Matrix row(1, mean.size());
  VectorD result = mean;
  if (transform.shift.has_data()) result -= as_vector(transform.shift).cast<double>();
  row.row(0) = result.cast<float>().transpose();
  InputTransform rest = transform;
  rest.shift = Tensor();
  return transform_rows(row, rest).row(0).transpose().cast<double>();
}

int64_t rotation_block(int64_t rotation, int64_t channels) {
  if (rotation == InputWords::kLargestBlock) {
    const int64_t block = channels & -channels;
    return block >= 2 ? block : 0;
  }
  return channels % rotation == 0 ? rotation : 0;
}

InputTransform solve_transform(const InputGroup& group) {
  const InputWords& words = group.words.input;
  InputTransform transform;
  if (!words.any()) return transform;
  if (words.rotation != 0) transform.rotation = rotation_block(words.rotation, group.channels);
  Vector shift = Vector::Zero(group.channels);
  if (words.shift != InputWords::Shift::none) {
    shift = shift_of(group);
    transform.shift = to_tensor(shift);
  }
  if (words.smooth == InputWords::Smooth::none) return transform;
  if (words.smooth == InputWords::Smooth::rms) {
    transform.multiplier =
        to_tensor(multiplier_for(input_rms(group, transform), column_norms(group), 0.5));
    return transform;
  }
  const Vector input =
      (channel_high(*group.stats) - shift).cwiseMax(shift - channel_low(*group.stats));
  const Vector weight = column_absmax(group);
  transform.multiplier = to_tensor(words.smooth == InputWords::Smooth::given
                                       ? multiplier_for(input, weight, words.alpha)
                                       : tune_multiplier(group, input, weight, transform));
  return transform;
}

}  // namespace octavo
