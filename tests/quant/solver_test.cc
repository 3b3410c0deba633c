#include "quant/solver.h"

#include "quant/histogram.h"
#include "support.h"
#include "tensor/quantize.h"

namespace octavo {
namespace {

using test::error_of;

const QuantSpec kInt8 = QuantSpec::parse("i8/*x*/static/f32");

Stats stats_of(const Tensor& values) {
  Stats stats;
  stats.add("transformer/a").steps[0] = observe(values.rows(0, 1), -1);
  stats.add("transformer/a").steps[1] = observe(values.rows(1, values.dim(0)), -1);
  return stats;
}

float scale_of(const Stats& stats, const QuantSpec& spec, const std::string& solver) {
  const Tensor scale = solve_scale(stats, "transformer/a", spec, Solver::parse(solver));
  EXPECT_EQ(scale.shape(), (Shape{1, 1}));
  return scale.to_floats()[0];
}

TEST(Solver, TextRoundTrip) {
  for (const char* text :
       {"absmax", "mse", "percentile:99.95", "percentile:50", "percentile:100", "entropy", "output",
        "steps:min-mean:1", "steps:mean-max:0.5", "steps:min-max:0.25", "steps:global-min:1"}) {
    EXPECT_EQ(Solver::parse(text).text(), text);
  }
  EXPECT_EQ(Solver::parse("absmax"), Solver{});
}

TEST(Solver, AbsmaxIsTheLargestOfAllSteps) {
  const Stats stats = stats_of(Tensor::from({1, -2, 3, 0.5f, 254, -7}, {2, 3}));
  EXPECT_EQ(scale_of(stats, kInt8, "absmax"), 2.0f);
  EXPECT_EQ(scale_of(stats, QuantSpec::parse("e4m3/*x*/static/f32"), "absmax"), 254.0f / 448);
}

TEST(Solver, ScaleIsRoundedToItsFormat) {
  const Stats stats = stats_of(Tensor::from({1, 100}, {2, 1}));
  const float f16 = scale_of(stats, QuantSpec::parse("i8/*x*/static/f16"), "absmax");
  EXPECT_EQ(f16, Tensor::scalar(100.0f / 127).to(DType::f16).to_floats()[0]);
  EXPECT_NE(f16, 100.0f / 127);
}

TEST(Solver, AllZeroInputsGetAUsableScale) {
  const Stats stats = stats_of(Tensor::zeros(DType::f32, {2, 3}));
  for (const char* solver : {"absmax", "percentile:99.9", "mse", "entropy"}) {
    EXPECT_GT(scale_of(stats, kInt8, solver), 0) << solver;
  }
}

TEST(Solver, PercentileClipsOutliers) {
  Tensor values = test::random_tensor({100, 1000}, 3);
  values.as_mutable<float>()[77] = 1000;
  const Stats stats = stats_of(values);
  EXPECT_EQ(scale_of(stats, kInt8, "percentile:100"), 1000.0f / 127);
  EXPECT_NEAR(scale_of(stats, kInt8, "percentile:99.9") * 127, 3.2, 0.15);
  EXPECT_NEAR(scale_of(stats, kInt8, "percentile:50") * 127, 0.6745, 0.02);
}

// The solver's range against a search over the values themselves.
TEST(Solver, MseIsTheBestRange) {
  Tensor values = test::random_tensor({50, 400}, 9);
  for (int64_t i = 0; i < 20000; i += 4000) values.as_mutable<float>()[i] = 60;
  const Stats stats = stats_of(values);
  const auto error_at = [&](float scale) {
    const QuantizedTensor q =
        quantize_with_scale(values, kInt8, MatrixView::activation, Tensor::from({scale}, {1, 1}));
    const std::vector<float> x = values.to_floats();
    const std::vector<float> y = dequantize(q, MatrixView::activation).to_floats();
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += (double{x[i]} - y[i]) * (double{x[i]} - y[i]);
    return sum;
  };
  double best = error_at(60.0f / 127);
  for (int i = 1; i < 200; ++i) {
    best = std::min(best, error_at(60.0f / 127 * std::exp2(-static_cast<float>(i) / 32)));
  }
  EXPECT_LE(error_at(scale_of(stats, kInt8, "mse")), 1.05 * best);
}

TEST(Solver, NamesLayersWithoutARightScale) {
  Tensor values = test::random_tensor({4, 8}, 9);
  values.as_mutable<float>()[9] = INFINITY;
  const Stats stats = stats_of(values);
  const Error overflow = error_of([&] { solve_scale(stats, "transformer/a", kInt8, Solver{}); });
  EXPECT_EQ(overflow.code(), ErrorCode::not_finite);
  EXPECT_NE(std::string(overflow.what()).find("transformer/a met 1 NaN or infinite inputs of 32"),
            std::string::npos)
      << overflow.what();
  const Error unseen = error_of([&] { solve_scale(stats, "vae/b", kInt8, Solver{}); });
  EXPECT_NE(std::string(unseen.what()).find("vae/b"), std::string::npos);
}

}  // namespace
}  // namespace octavo
