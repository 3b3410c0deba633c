#include "quant/input_transform.h"

#include "io/safetensors.h"
#include "quant/gptq.h"
#include "quant/low_rank.h"
#include "quant/solver.h"
#include "support.h"

namespace octavo {
namespace {

using test::random_tensor;

const SafetensorsFile& golden() {
  static const auto file =
      SafetensorsFile::open(OCTAVO_SOURCE_DIR "/tests/quant/golden/solver.safetensors");
  return *file;
}

Matrix golden_matrix(const std::string& name) {
  const Tensor t = golden().tensor(name);
  return to_matrix(t, t.dim(0), t.dim(1));
}

Matrix random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  return to_matrix(random_tensor({rows, cols}, seed), rows, cols);
}

// Inputs of two steps, whose channels have their own means and sizes, as calibration records them.
LayerStats stats_of(const Matrix& rows) {
  LayerStats stats;
  const int64_t half = rows.rows() / 2;
  for (int step = 0; step < 2; ++step) {
    const Matrix part = rows.middleRows(step * half, half);
    StepStats& one = stats.steps[step] = observe(to_tensor(part), -1);
    one.rows = RowSample(half);
    for (int64_t r = 0; r < half; ++r) {
      one.rows.offer(static_cast<uint64_t>(r), part.row(r).data(), part.cols());
    }
  }
  stats.moment = SecondMoment(rows.cols());
  stats.moment.add(rows.data(), rows.rows());
  return stats;
}

Matrix uneven_rows() {
  Matrix rows = random_matrix(64, 24, 3);
  for (int64_t c = 0; c < 24; ++c) {
    rows.col(c) = rows.col(c).array() * (0.2f + static_cast<float>(c * c)) + static_cast<float>(c);
  }
  return rows;
}

InputGroup group_of(const LayerStats& stats, const std::vector<Matrix>& weights,
                    const std::string& words) {
  InputGroup group;
  group.name = "transformer/a";
  group.channels = 24;
  group.members = weights.size();
  group.weight = [&weights](size_t i) { return weights[i]; };
  group.activation = QuantSpec::parse("i8/*x*/static/f32");
  group.weight_spec = QuantSpec::parse("i8/1x*/static/f32");
  group.stats = &stats;
  unsigned taken = 0;
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find(' ', at), words.size());
    EXPECT_TRUE(group.words.take(words.substr(at, end - at), taken)) << words;
    at = end + 1;
  }
  return group;
}

class Transform : public testing::TestWithParam<const char*> {};

// Without rounding, W' x' + W shift is W x.
TEST_P(Transform, LeavesTheFloatFunction) {
  const Matrix rows = uneven_rows();
  const LayerStats stats = stats_of(rows);
  const std::vector<Matrix> weights{random_matrix(10, 24, 7), random_matrix(6, 24, 8)};
  const InputTransform transform = solve_transform(group_of(stats, weights, GetParam()));
  EXPECT_FALSE(is_identity(transform));
  for (const Matrix& w : weights) {
    const Matrix expected = rows * w.transpose();
    Matrix y = transform_rows(rows, transform) * transform_weight(w, transform).transpose();
    if (transform.shift.has_data()) {
      y.rowwise() += (w * to_matrix(transform.shift, 1, 24).transpose()).transpose().row(0);
    }
    EXPECT_LT((y - expected).norm(), 1e-5 * expected.norm());
  }
}

TEST_P(Transform, MovesTheMomentsAsTheRows) {
  const Matrix rows = uneven_rows();
  const LayerStats stats = stats_of(rows);
  const std::vector<Matrix> weights{random_matrix(10, 24, 7)};
  const InputTransform transform = solve_transform(group_of(stats, weights, GetParam()));
  const MatrixD moved = transform_rows(rows, transform).cast<double>();
  const MatrixD expected = moved.transpose() * moved / 64.0;
  const MatrixD second =
      transform_moment(moment_matrix(stats.moment), moment_mean(stats.moment), transform);
  EXPECT_LT((second - expected).norm(), 1e-5 * expected.norm());
  const VectorD mean = transform_mean(moment_mean(stats.moment), transform);
  EXPECT_LT((mean.transpose() - moved.colwise().mean()).norm(), 1e-5 * std::sqrt(expected.trace()));
}

INSTANTIATE_TEST_SUITE_P(Words, Transform,
                         testing::Values("shift", "shift=middle", "smooth=0.5", "smooth=1",
                                         "smooth=rms", "smooth=auto", "rotate", "rotate=4",
                                         "shift=middle smooth=0.8 rotate=8"));

TEST(TransformMeaning, MiddleAndFullSmoothingMakeEveryChannelReachAsFar) {
  const Matrix rows = uneven_rows();
  const LayerStats stats = stats_of(rows);
  const std::vector<Matrix> weights{random_matrix(10, 24, 7)};
  const auto group = group_of(stats, weights, "shift=middle smooth=1");
  const Matrix moved = transform_rows(rows, solve_transform(group));
  const Vector high = moved.colwise().maxCoeff(), low = moved.colwise().minCoeff();
  EXPECT_LT((high + low).norm(), 1e-4 * high.norm());
  EXPECT_NEAR(high.maxCoeff(), high.minCoeff(), 1e-4 * high.maxCoeff());
}

TEST(TransformMeaning, SmoothQuantsFormula) {
  const Matrix rows = uneven_rows();
  const LayerStats stats = stats_of(rows);
  const std::vector<Matrix> weights{random_matrix(10, 24, 7), random_matrix(6, 24, 8)};
  const InputTransform t = solve_transform(group_of(stats, weights, "smooth=0.75"));
  const auto divisor = [&](int64_t c) {
    const float w =
        std::max(weights[0].col(c).cwiseAbs().maxCoeff(), weights[1].col(c).cwiseAbs().maxCoeff());
    return std::pow(rows.col(c).cwiseAbs().maxCoeff(), 0.75f) / std::pow(w, 0.25f);
  };
  const float* m = t.multiplier.as<float>();
  for (int64_t c = 1; c < 24; ++c) EXPECT_NEAR(m[0] / m[c], divisor(c) / divisor(0), 1e-3);
}

TEST(TransformMeaning, DeadChannelsStayAsTheyAre) {
  Matrix rows = uneven_rows();
  rows.col(5).setZero();
  const LayerStats stats = stats_of(rows);
  std::vector<Matrix> weights{random_matrix(10, 24, 7)};
  weights[0].col(6).setZero();
  const InputTransform t = solve_transform(group_of(stats, weights, "smooth=0.5"));
  EXPECT_EQ(t.multiplier.as<float>()[5], 1);
  EXPECT_EQ(t.multiplier.as<float>()[6], 1);
}

TEST(TransformMeaning, TunedSmoothingIsNoWorseThanEndsAndMiddle) {
  const Matrix rows = uneven_rows();
  const LayerStats stats = stats_of(rows);
  const std::vector<Matrix> weights{random_matrix(10, 24, 7)};
  const auto error_of = [&](const std::string& words) {
    const InputGroup group = group_of(stats, weights, words);
    const InputTransform t = solve_transform(group);
    const auto rounded = [](const Matrix& m, const QuantSpec& spec, MatrixView view) {
      return to_matrix(dequantize(quantize(to_tensor(m), spec, view), view), m.rows(), m.cols());
    };
    const Matrix x = rounded(transform_rows(rows, t), *group.activation, MatrixView::activation);
    const Matrix w =
        rounded(transform_weight(weights[0], t), group.weight_spec, MatrixView::weight);
    return (x * w.transpose() - rows * weights[0].transpose()).squaredNorm();
  };
  const double tuned = error_of("smooth=auto");
  for (const char* words : {"smooth=0", "smooth=0.5", "smooth=1"}) {
    EXPECT_LE(tuned, error_of(words) * 1.0001) << words;
  }
}

TEST(Rotation, IsNumpysHadamardMatrix) {
  Matrix rows = golden_matrix("hadamard.rows");
  rotate_rows(rows, 8);
  EXPECT_LT((rows - golden_matrix("hadamard.rotated")).norm(), 1e-5);
  EXPECT_EQ(rotation_block(InputWords::kLargestBlock, 1280), 256);
  EXPECT_EQ(rotation_block(InputWords::kLargestBlock, 7), 0);
  EXPECT_EQ(rotation_block(64, 1280), 64);
  EXPECT_EQ(rotation_block(64, 96), 0);
}

TEST(LowRankBranch, IsNumpysWeightedSvd) {
  const Matrix expected = golden_matrix("low_rank.product");
  const Tensor h = golden().tensor("low_rank.moment");
  const MatrixD moment = to_matrix(h, h.dim(0), h.dim(1)).cast<double>();
  const LowRank branch = best_low_rank(golden_matrix("low_rank.weight"), damped(moment, 0.01), 6);
  EXPECT_EQ(branch.down.shape(), (Shape{6, 40}));
  EXPECT_EQ(branch.up.shape(), (Shape{24, 6}));
  // bf16 factors: 2^-9 of each.
  EXPECT_LT((product(branch) - expected).norm(), 0.004 * expected.norm());
}

TEST(Entropy, IsModelOptimizers) {
  for (const std::string n : {"0", "1", "2"}) {
    const Tensor t = golden().tensor("entropy." + n + ".histogram");
    const std::vector<double> histogram(t.as<int64_t>(), t.as<int64_t>() + t.elements());
    const Tensor kept = golden().tensor("entropy." + n + ".kept");
    EXPECT_EQ(entropy_bins(histogram, 128), kept.as<int64_t>()[0]) << n;
    EXPECT_EQ(entropy_bins(histogram, 8), kept.as<int64_t>()[1]) << n;
  }
}

TEST(PercentileQuant, IsModelOptimizers) {
  const Tensor calls = golden().tensor("steps.calls");  // [pictures, steps]
  const int64_t pictures = calls.dim(0), steps = calls.dim(1);
  Stats stats;
  LayerStats& layer = stats.add("transformer/a");
  for (int64_t s = 0; s < steps; ++s) {
    Tensor values = Tensor::zeros(DType::f32, {pictures, 3});
    for (int64_t p = 0; p < pictures; ++p) {
      values.as_mutable<float>()[p * 3 + 1] = -calls.as<float>()[p * steps + s];
    }
    layer.steps[static_cast<int>(s)] = observe(values, -1);
  }
  const QuantSpec spec = QuantSpec::parse("i8/*x*/static/f32");
  for (const std::string method : {"min-mean", "mean-max", "min-max", "global-min"}) {
    for (const std::string fraction : {"1", "0.55"}) {
      const Tensor scale = solve_scale(stats, "transformer/a", spec,
                                       Solver::parse("steps:" + method + ":" + fraction));
      const std::string name = "steps." + method + (fraction == "1" ? ".1.0" : ".0.55");
      const float expected = golden().tensor(name).as<float>()[0];
      EXPECT_NEAR(scale.as<float>()[0] * 127, expected, 1e-5 * expected) << name;
    }
  }
}

}  // namespace
}  // namespace octavo
