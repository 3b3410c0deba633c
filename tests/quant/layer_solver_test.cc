#include "quant/layer_solver.h"

#include "base/threads.h"
#include "quant/gptq.h"
#include "quant/sparsity.h"
#include "support.h"

namespace octavo {
namespace {

using test::error_of;
using test::random_tensor;

constexpr int64_t kOut = 48, kIn = 64, kRowsEach = 40, kSteps = 3;
const std::vector<float> kTimesteps = {1.0f, 0.6f, 0.2f};

// Rows [steps, kRowsEach, kIn]: channels with means, sizes and dependence; later steps are smaller.
Matrix rows_of(int step) {
  const uint64_t seed = 10 + static_cast<uint64_t>(step);
  Matrix rows = to_matrix(random_tensor({kRowsEach, kIn}, seed), kRowsEach, kIn) *
                to_matrix(random_tensor({kIn, kIn}, 5), kIn, kIn);
  for (int64_t c = 0; c < kIn; c += 9) rows.col(c) *= 12;
  rows.rowwise() += 4 * to_matrix(random_tensor({1, kIn}, 6), 1, kIn).row(0);
  return rows / static_cast<float>(1 << step);
}

const LayerStats& layer_stats() {
  static const LayerStats stats = [] {
    LayerStats made;
    made.moment = SecondMoment(kIn);
    for (int step = 0; step < kSteps; ++step) {
      const Matrix rows = rows_of(step);
      StepStats& one = made.steps[step] = observe(to_tensor(rows), -1);
      one.rows = RowSample(kRowsEach);
      for (int64_t r = 0; r < kRowsEach; ++r) {
        one.rows.offer(static_cast<uint64_t>(r), rows.row(r).data(), kIn);
      }
      made.moment.add(rows.data(), kRowsEach);
    }
    return made;
  }();
  return stats;
}

LayerProblem problem_of(const std::string& scheme, const std::string& text) {
  LayerProblem p;
  p.name = "transformer/a";
  p.where = "model: tensor \"a.weight\"";
  p.weight = random_tensor({kOut, kIn}, 1);
  p.bias = random_tensor({kOut}, 2);
  p.scheme = find_scheme(scheme);
  unsigned taken = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    EXPECT_TRUE(p.words.take(text.substr(at, end - at), taken)) << text;
    at = end + 1;
  }
  p.stats = &layer_stats();
  InputGroup group;
  group.name = p.name;
  group.channels = kIn;
  group.members = 1;
  const Matrix weight = to_matrix(p.weight, kOut, kIn);
  group.weight = [weight](size_t) { return weight; };
  group.activation = p.scheme.activation;
  group.weight_spec = p.scheme.weight;
  group.words = p.words;
  group.stats = p.stats;
  p.input = solve_transform(group);
  p.scales = solve_input_scales(group, p.input, kTimesteps);
  return p;
}

// What the layer computes for the rows of a step, as io/weights.h defines it.
Matrix output_of(const LayerProblem& p, const QuantizedLayer& layer, int step) {
  const Matrix x = transform_rows(rows_of(step), layer.input);
  Matrix rounded = x;
  if (layer.activation) {
    const int64_t row = layer.input_steps.has_data()
                            ? std::find(layer.input_steps.as<float>(),
                                        layer.input_steps.as<float>() + kSteps, kTimesteps[step]) -
                                  layer.input_steps.as<float>()
                            : 0;
    const QuantizedTensor q =
        layer.activation->timing == QuantSpec::Timing::static_
            ? quantize_with_scale(to_tensor(x), *layer.activation, MatrixView::activation,
                                  layer.input_scale.rows(row, row + 1))
            : quantize(to_tensor(x), *layer.activation, MatrixView::activation);
    rounded = to_matrix(dequantize(q, MatrixView::activation), kRowsEach, kIn);
  }
  const Matrix w = to_matrix(dequantize(layer.weight, MatrixView::weight), kOut, kIn);
  Matrix y = rounded * w.transpose();
  if (layer.low_rank_down.has_data()) {
    const int64_t rank = layer.low_rank_down.dim(0);
    y += x * to_matrix(layer.low_rank_down, rank, kIn).transpose() *
         to_matrix(layer.low_rank_up, kOut, rank).transpose();
  }
  y.rowwise() += to_matrix(layer.bias.has_data() ? layer.bias : p.bias, 1, kOut).row(0);
  return y;
}

double error_of_words(const std::string& scheme, const std::string& words) {
  const LayerProblem p = problem_of(scheme, words);
  const QuantizedLayer layer = solve_layer(p);
  double sum = 0;
  for (int step = 0; step < kSteps; ++step) {
    Matrix expected = rows_of(step) * to_matrix(p.weight, kOut, kIn).transpose();
    expected.rowwise() += to_matrix(p.bias, 1, kOut).row(0);
    sum += (output_of(p, layer, step) - expected).cast<double>().squaredNorm();
  }
  return sum;
}

TEST(SolveLayer, PlainIsQuantize) {
  const LayerProblem p = problem_of("int4wo", "");
  const QuantizedLayer layer = solve_layer(p);
  const QuantizedTensor expected = quantize(p.weight, p.scheme.weight, MatrixView::weight);
  EXPECT_TRUE(same_bytes(layer.weight.codes, expected.codes));
  EXPECT_TRUE(same_bytes(layer.weight.scale, expected.scale));
  EXPECT_FALSE(layer.bias.has_data());
}

struct Better {
  const char *scheme, *words, *than;
  double factor;  // at least so much less squared error
};

class SolveLayerBetter : public testing::TestWithParam<Better> {};

TEST_P(SolveLayerBetter, EachWordPays) {
  const Better& b = GetParam();
  const double error = error_of_words(b.scheme, b.words);
  const double before = error_of_words(b.scheme, b.than);
  EXPECT_LT(error * b.factor, before) << b.scheme << ": " << b.words << " against " << b.than;
}

INSTANTIATE_TEST_SUITE_P(
    Words, SolveLayerBetter,
    testing::Values(Better{"int4wo", "clip=mse", "", 1.0}, Better{"int4wo", "clip=output", "", 1.1},
                    Better{"int4wo", "round=gptq", "", 2}, Better{"int4wo", "low-rank=8", "", 2},
                    Better{"int4wo", "low-rank=8 round=gptq", "round=gptq", 1.2},
                    Better{"int4wo", "round=gptq correct-bias", "round=gptq", 1.0},
                    Better{"fp4_e2m1", "round=gptq clip=mse", "", 2},
                    Better{"int8", "shift=middle smooth=1", "", 2},
                    Better{"int8", "steps=each", "", 1.5}, Better{"int8", "rotate", "", 1.2},
                    Better{"int8", "solver=mse steps=each", "", 1.5},
                    Better{"int8", "solver=output", "", 0.9999},
                    Better{"int8", "sparse=2:4:hessian", "sparse=2:4", 1.3},
                    Better{"w=i4/1x*/static/f32 a=i4/1x*/dynamic/f32",
                           "rotate low-rank=8 round=gptq correct-bias", "", 2}));

// The words' parts without the rounding: 8 bits more would leave next to nothing.
TEST(SolveLayer, AllWordsTogetherLeaveTheFloatFunction) {
  const double all = error_of_words(
      "w=i8/1x16/static/f32", "shift=middle smooth=0.5 rotate low-rank=4 round=gptq correct-bias");
  double power = 0;
  for (int step = 0; step < kSteps; ++step) power += rows_of(step).cast<double>().squaredNorm();
  EXPECT_LT(all, 1e-4 * power * kOut / 3);
}

TEST(SolveLayer, BiasTakesTheMeanErrorOut) {
  const LayerProblem p = problem_of("w=i4/1x*/static/f32 a=i8/*x*/static/f32", "correct-bias");
  const QuantizedLayer layer = solve_layer(p);
  VectorD mean = VectorD::Zero(kOut);
  double size = 0;
  for (int step = 0; step < kSteps; ++step) {
    Matrix expected = rows_of(step) * to_matrix(p.weight, kOut, kIn).transpose();
    expected.rowwise() += to_matrix(p.bias, 1, kOut).row(0);
    const MatrixD error = (output_of(p, layer, step) - expected).cast<double>();
    mean += error.colwise().sum().transpose();
    size += error.norm();
  }
  EXPECT_LT(mean.norm() / kRowsEach, 1e-3 * size);
}

TEST(SolveLayer, ScalesOfStepsAscendWithTheirTimesteps) {
  const QuantizedLayer layer = solve_layer(problem_of("int8", "steps=each"));
  EXPECT_EQ(layer.input_scale.shape(), (Shape{kSteps, 1}));
  ASSERT_EQ(layer.input_steps.shape(), (Shape{kSteps}));
  for (int step = 0; step < kSteps; ++step) {  // step 0 has the last timestep
    const float expected = rows_of(step).cwiseAbs().maxCoeff() / 127;
    EXPECT_EQ(layer.input_steps.as<float>()[kSteps - 1 - step], kTimesteps[step]);
    EXPECT_FLOAT_EQ(layer.input_scale.as<float>()[kSteps - 1 - step], expected);
  }
}

TEST(SolveLayer, MarginWidensTheRange) {
  const float plain = solve_layer(problem_of("int8", "")).input_scale.as<float>()[0];
  const float wide = solve_layer(problem_of("int8", "margin=1.25")).input_scale.as<float>()[0];
  EXPECT_FLOAT_EQ(wide, 1.25f * plain);
}

TEST(SolveLayer, SparseWeightsHaveTwoOfFour) {
  for (const char* words : {"sparse=2:4", "sparse=2:4:hessian", "sparse=2:4 round=gptq"}) {
    const QuantizedLayer layer = solve_layer(problem_of("int8", words));
    const Matrix w = to_matrix(dequantize(layer.weight, MatrixView::weight), kOut, kIn);
    for (int64_t r = 0; r < kOut; ++r) {
      for (int64_t c = 0; c < kIn; c += 4) {
        EXPECT_LE((w.block(r, c, 1, 4).array() != 0).count(), 2) << words;
      }
    }
  }
}

TEST(SolveLayer, SameBytesOnAnyNumberOfThreads) {
  std::vector<QuantizedLayer> made;
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    made.push_back(solve_layer(
        problem_of("int8",
                   "shift smooth=auto rotate solver=output steps=each low-rank=4 clip=output "
                   "round=gptq correct-bias")));
  }
  set_thread_count(0);
  const QuantizedLayer &a = made[0], &b = made[1];
  EXPECT_TRUE(same_bytes(a.weight.codes, b.weight.codes));
  EXPECT_TRUE(same_bytes(a.weight.scale, b.weight.scale));
  EXPECT_TRUE(same_bytes(a.input_scale, b.input_scale));
  EXPECT_TRUE(same_bytes(a.input.multiplier, b.input.multiplier));
  EXPECT_TRUE(same_bytes(a.low_rank_down, b.low_rank_down));
  EXPECT_TRUE(same_bytes(a.bias, b.bias));
}

// Sums of f32 products lose what a large mean leaves of the deviations: still no error.
TEST(SolveLayer, MeansFarAboveTheDeviations) {
  LayerStats far;
  far.moment = SecondMoment(kIn);
  for (int step = 0; step < kSteps; ++step) {
    Matrix rows = rows_of(step);
    rows.array() += 3000;
    StepStats& one = far.steps[step] = observe(to_tensor(rows), -1);
    one.rows = RowSample(kRowsEach);
    far.moment.add(rows.data(), kRowsEach);
  }
  LayerProblem p = problem_of("int4wo", "round=gptq low-rank=4 correct-bias");
  p.stats = &far;
  EXPECT_TRUE(solve_layer(p).low_rank_down.has_data());
}

TEST(SolveLayer, NamesWhatIsMissing) {
  LayerStats bare;
  bare.steps[0] = observe(to_tensor(rows_of(0)), -1);
  LayerProblem p = problem_of("int4wo", "round=gptq");
  p.stats = &bare;
  EXPECT_NE(std::string(error_of([&] { solve_layer(p); }).what())
                .find("transformer/a: round=gptq needs second moments"),
            std::string::npos);
  p = problem_of("int8", "correct-bias");
  p.stats = &bare;
  EXPECT_NE(std::string(error_of([&] { solve_layer(p); }).what()).find("recorded input rows"),
            std::string::npos);
  p = problem_of("int4wo", "clip=mse");
  p.weight.as_mutable<float>()[7] = NAN;
  EXPECT_EQ(error_of([&] { solve_layer(p); }).code(), ErrorCode::not_finite);
}

}  // namespace
}  // namespace octavo
