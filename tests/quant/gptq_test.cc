#include "quant/gptq.h"

#include "base/threads.h"
#include "quant/sparsity.h"
#include "quant/weight_scales.h"
#include "support.h"

namespace octavo {
namespace {

using test::random_tensor;

Matrix random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  return to_matrix(random_tensor({rows, cols}, seed), rows, cols);
}

// E[x x^T] of inputs that depend on each other, with a few large channels.
MatrixD random_hessian(int64_t n, uint64_t seed) {
  Matrix x = random_matrix(4 * n, n, seed) * random_matrix(n, n, seed + 1);
  for (int64_t c = 0; c < n; c += 5) x.col(c) *= 6;
  const MatrixD d = x.cast<double>();
  return damped(d.transpose() * d / static_cast<double>(d.rows()), 0.01);
}

const char* const kSpecs[] = {
    "i8/1x*/static/f32",    "i4/1x16/static/f16", "i4/1x16/static/f16/zp", "e4m3/1x*/static/f32",
    "e2m1/1x16/static/f16", "i4/*x*/static/f32",  "e2m1/1x16/static/e8m0"};

class Gptq : public testing::TestWithParam<const char*> {};

TEST_P(Gptq, NeverWorseThanPlainRoundingAndMostlyBetter) {
  const QuantSpec spec = QuantSpec::parse(GetParam());
  const Matrix w = random_matrix(40, 96, 3);
  const MatrixD h = random_hessian(96, 4);
  WeightGrid grid(spec, w);
  const Matrix plain = grid.values(grid.round(w));
  Mask none;
  const Matrix codes = gptq_round(w, h, grid, none, false);
  const VectorD before = output_errors(w, plain, h);
  const VectorD after = output_errors(w, grid.values(codes), h);
  for (int64_t r = 0; r < w.rows(); ++r) EXPECT_LE(after[r], before[r] * 1.0001) << "row " << r;
  EXPECT_LT(after.sum(), 0.7 * before.sum());
}

TEST_P(Gptq, CodesAndScalesAreOfTheFormat) {
  const QuantSpec spec = QuantSpec::parse(GetParam());
  const Matrix w = random_matrix(8, 32, 3);
  WeightGrid grid(spec, w);
  Mask none;
  const Matrix codes = gptq_round(w, random_hessian(32, 4), grid, none, false);
  const Tensor back = dequantize(grid.pack(codes, {8, 32}), MatrixView::weight);
  EXPECT_TRUE(same_bytes(back, to_tensor(grid.values(codes))));
}

INSTANTIATE_TEST_SUITE_P(Specs, Gptq, testing::ValuesIn(kSpecs));

// Against every choice of codes, 16^4 of them, at the scale of plain rounding (tiles of more than a
// row keep it).
TEST(GptqOptimum, IsReachedOnMostTinyProblems) {
  const QuantSpec spec = QuantSpec::parse("i4/2x*/static/f32");
  double sum_best = 0, sum_ours = 0, sum_plain = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Matrix w = random_matrix(1, 4, 100 + seed);
    const MatrixD h = random_hessian(4, 200 + 7 * seed);
    WeightGrid grid(spec, w);
    double best = 1e30;
    Matrix codes(1, 4);
    for (int i = 0; i < 16 * 16 * 16 * 16; ++i) {
      for (int c = 0; c < 4; ++c) codes(0, c) = static_cast<float>((i >> (4 * c)) % 16 - 8);
      best = std::min(best, output_errors(w, grid.values(codes), h)[0]);
    }
    sum_best += best;
    sum_plain += output_errors(w, grid.values(grid.round(w)), h)[0];
    Mask none;
    const Matrix ours = gptq_round(w, h, grid, none, false);
    const double error = output_errors(w, grid.values(ours), h)[0];
    EXPECT_GE(error, best * 0.9999);
    sum_ours += error;
  }
  EXPECT_LE(sum_ours, 1.6 * sum_best);
  EXPECT_GE(sum_plain, 2 * sum_best);
}

TEST(Gptq, SameBytesOnAnyNumberOfThreads) {
  const Matrix w = random_matrix(100, 64, 3);
  const MatrixD h = random_hessian(64, 4);
  std::vector<QuantizedTensor> results;
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    WeightGrid grid(QuantSpec::parse("i4/1x16/static/f16"), w);
    clip_scales(w, Vector::Ones(64), grid);
    Mask none;
    results.push_back(grid.pack(gptq_round(w, h, grid, none, false), {100, 64}));
  }
  set_thread_count(0);
  EXPECT_TRUE(same_bytes(results[0].codes, results[1].codes));
  EXPECT_TRUE(same_bytes(results[0].scale, results[1].scale));
}

TEST(Gptq, InputsNeverSeenAreRoundedPlainly) {
  const Matrix w = random_matrix(4, 8, 3);
  WeightGrid grid(QuantSpec::parse("i8/*x*/static/f32"), w);
  const Matrix plain = grid.round(w);
  Mask none;
  EXPECT_EQ(gptq_round(w, damped(MatrixD::Zero(8, 8), 0.01), grid, none, false), plain);
}

TEST(Clip, NeverWorseThanAbsmax) {
  for (const char* text : kSpecs) {
    const QuantSpec spec = QuantSpec::parse(text);
    Matrix w = random_matrix(16, 64, 5);
    w(3, 7) = 9;
    const Vector importance = to_matrix(random_tensor({1, 64}, 6), 1, 64).row(0).cwiseAbs2();
    WeightGrid grid(spec, w), clipped(spec, w);
    clip_scales(w, importance, clipped);
    const MatrixD h = importance.cast<double>().asDiagonal().toDenseMatrix();
    const double before = output_errors(w, grid.values(grid.round(w)), h).sum();
    const double after = output_errors(w, clipped.values(clipped.round(w)), h).sum();
    EXPECT_LE(after, before * 1.0001) << text;
    if (spec.tile_cols == 16) {
      EXPECT_LT(after, 0.97 * before) << text;
    }
  }
}

TEST(Grid, IsThatOfPlainQuantization) {
  const Matrix w = random_matrix(16, 64, 5);
  for (const char* text : kSpecs) {
    const QuantSpec spec = QuantSpec::parse(text);
    const QuantizedTensor expected = quantize(to_tensor(w), spec, MatrixView::weight);
    const WeightGrid grid(spec, w);
    const QuantizedTensor q = grid.pack(grid.round(w), {16, 64});
    EXPECT_TRUE(same_bytes(q.codes, expected.codes)) << text;
    EXPECT_TRUE(same_bytes(q.scale, expected.scale)) << text;
    EXPECT_EQ(q.zero_point.has_data(), spec.zero_point);
    if (spec.zero_point) {
      EXPECT_TRUE(same_bytes(q.zero_point, expected.zero_point)) << text;
    }
  }
}

TEST(Sparsity, KeepsTheLargestTwoOfFour) {
  Matrix w(1, 8);
  w << 1, -3, 2, 0.5f, 4, 4, 4, 4;
  Mask expected(1, 8);
  expected << 0, 1, 1, 0, 1, 1, 0, 0;
  EXPECT_EQ(largest_two_of_four(w), expected);
}

TEST(Sparsity, TheHessiansChoiceIsBetter) {
  const Matrix w = random_matrix(32, 64, 5);
  const MatrixD h = random_hessian(64, 6);
  const QuantSpec spec = QuantSpec::parse("i8/1x*/static/f32");
  Mask by_size = largest_two_of_four(w), by_hessian;
  WeightGrid grid(spec, w), other(spec, w);
  const Matrix magnitude = grid.values(gptq_round(w, h, grid, by_size, false));
  const Matrix chosen = other.values(gptq_round(w, h, other, by_hessian, true));
  for (int64_t r = 0; r < 32; ++r) {
    for (int64_t c = 0; c < 64; c += 4) {
      EXPECT_LE((chosen.block(r, c, 1, 4).array() != 0).count(), 2);
      EXPECT_LE((magnitude.block(r, c, 1, 4).array() != 0).count(), 2);
    }
  }
  EXPECT_LT(output_errors(w, chosen, h).sum(), output_errors(w, magnitude, h).sum());
}

}  // namespace
}  // namespace octavo
