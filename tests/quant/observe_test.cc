#include <cmath>

#include "base/threads.h"
#include "quant/histogram.h"
#include "quant/stats.h"
#include "support.h"

namespace octavo {
namespace {

using test::Random;

// Plain loops, without the channels' sums.
StepStats observe_slowly(const Tensor& tensor, size_t axis) {
  const Shape& shape = tensor.shape();
  const int64_t inner =
      element_count(Shape(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, shape.end()));
  StepStats stats;
  stats.channel_min.assign(shape[axis], INFINITY);
  stats.channel_max.assign(shape[axis], -INFINITY);
  stats.channel_sum.resize(shape[axis]);
  std::vector<float> sample(shape[0]);
  stats.histogram.resize(Histogram::kBins);
  stats.samples = static_cast<uint64_t>(shape[0]);
  const std::vector<float> values = tensor.to_floats();
  stats.count = values.size();
  for (size_t i = 0; i < values.size(); ++i) {
    const float x = std::fabs(values[i]);
    if (!std::isfinite(x)) {
      ++stats.non_finite;
      continue;
    }
    const int64_t c = static_cast<int64_t>(i) / inner % shape[axis];
    stats.channel_min[c] = std::min(stats.channel_min[c], values[i]);
    stats.channel_max[c] = std::max(stats.channel_max[c], values[i]);
    float& most = sample[i / (values.size() / sample.size())];
    most = std::max(most, x);
    stats.absmax = std::max(stats.absmax, x);
    int bin = 0;
    while (bin < Histogram::kBins - 1 && x >= Histogram::upper(bin)) ++bin;
    ++stats.histogram[bin];
  }
  for (const float most : sample) {
    stats.sample_absmax_sum += kChannelSum.from(most);
    stats.sample_absmax_min = std::min(stats.sample_absmax_min, most);
  }
  return stats;
}

StepStats without_sums(StepStats stats) {
  stats.channel_sum.assign(stats.channel_sum.size(), 0);
  return stats;
}

// Normal values over many octaves with zeros, subnormals, huge ones, NaN and infinity among them.
Tensor wild(Shape shape, uint64_t seed) {
  Tensor t = Tensor::empty(DType::f32, std::move(shape));
  Random random(seed);
  const float special[] = {0.0f,      -0.0f,    1e-42f,   -3e38f, INFINITY, -INFINITY,
                           NAN,       0x1p-24f, 0x1p24f,  1.0f,   -1.125f,  0x1.fffffep23f,
                           -0x1p-25f, 1e-7f,    65504.0f, 448.0f};
  for (int64_t i = 0; i < t.elements(); ++i) {
    t.as_mutable<float>()[i] =
        random.below(8) == 0 ? special[random.below(16)]
                             : std::ldexp(random.normal(), static_cast<int>(random.below(60)) - 30);
  }
  return t;
}

TEST(Observe, AgreesWithPlainLoops) {
  const std::pair<Shape, size_t> cases[] = {{{2, 5, 7}, 2},      {{3, 11, 4, 6}, 1}, {{1, 1}, 1},
                                            {{2, 100, 33}, 2},   {{1, 3, 1, 1}, 1},  {{40, 8}, 1},
                                            {{2, 16, 20, 20}, 1}};
  uint64_t seed = 1;
  for (const auto& [shape, axis] : cases) {
    const Tensor t = wild(shape, seed++);
    EXPECT_EQ(without_sums(observe(t, static_cast<int>(axis))), observe_slowly(t, axis))
        << to_string(shape);
  }
  const Tensor t = wild({2, 3, 4}, 99);
  EXPECT_EQ(observe(t, -1), observe(t, 2));
}

TEST(Observe, HalfTypesCountAsTheirValues) {
  const Tensor t = test::random_tensor({4, 9}, 3, 2.0f, DType::bf16);
  EXPECT_EQ(without_sums(observe(t, 1)), observe_slowly(t, 1));
}

TEST(Observe, MeansOfChannels) {
  const std::pair<Shape, size_t> cases[] = {
      {{2, 100, 33}, 2}, {{3, 11, 4, 6}, 1}, {{40, 8}, 1}, {{2, 5, 129, 1}, 1}};
  for (const auto& [shape, axis] : cases) {
    SCOPED_TRACE(to_string(shape));
    Tensor t = test::random_tensor(shape, 3, 5);
    const StepStats stats = observe(t, static_cast<int>(axis));
    const int64_t channels = shape[axis],
                  inner = axis == 1 ? t.elements() / shape[0] / channels : 1;
    std::vector<double> mean(channels);
    for (int64_t i = 0; i < t.elements(); ++i) {
      mean[i / inner % channels] +=
          t.as<float>()[i] * static_cast<double>(channels) / static_cast<double>(t.elements());
    }
    for (int64_t c = 0; c < channels; ++c) EXPECT_NEAR(stats.channel_mean()[c], mean[c], 1e-12);
  }
}

TEST(Observe, SumsLeaveOutWhatIsNotFinite) {
  const Tensor t = Tensor::from({1, NAN, INFINITY, 2, -0.5f, -INFINITY}, {3, 2});
  const StepStats stats = observe(t, 1);
  EXPECT_EQ(kChannelSum.value(stats.channel_sum[0]), 0.5);
  EXPECT_EQ(kChannelSum.value(stats.channel_sum[1]), 2);
  EXPECT_EQ(stats.channel_min, (std::vector<float>{-0.5f, 2}));
  EXPECT_EQ(stats.channel_absmax(), (std::vector<float>{1, 2}));
}

TEST(Observe, AnyThreadCount) {
  const Tensor t = wild({7, 50, 64}, 5);
  set_thread_count(1);
  const StepStats one = observe(t, 2);
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    EXPECT_EQ(observe(t, 2), one) << threads;
  }
  set_thread_count(0);
}

TEST(Observe, Empty) {
  const StepStats stats = observe(Tensor::empty(DType::f32, {0, 3}), 1);
  EXPECT_EQ(stats.count, 0u);
  EXPECT_EQ(stats.channel_absmax(), std::vector<float>(3, 0.0f));
  StepStats merged = observe(Tensor::from({1, 2, 3}, {1, 3}), 1);
  const StepStats before = merged;
  merged.merge(stats);
  EXPECT_EQ(merged, before);
  EXPECT_EQ(merged.count, 3u);
}

TEST(Histogram, BinsTileTheAxis) {
  EXPECT_EQ(Histogram::lower(0), 0.0f);
  EXPECT_EQ(Histogram::upper(0), 0x1p-24f);
  EXPECT_EQ(Histogram::lower(1), 0x1p-24f);
  EXPECT_EQ(Histogram::upper(1), 1.125f * 0x1p-24f);
  EXPECT_EQ(Histogram::lower(Histogram::kBins - 1), 0x1p24f);
  EXPECT_TRUE(std::isinf(Histogram::upper(Histogram::kBins - 1)));
  for (int b = 0; b + 1 < Histogram::kBins; ++b) {
    EXPECT_LT(Histogram::lower(b), Histogram::upper(b));
    EXPECT_EQ(Histogram::bin(std::bit_cast<uint32_t>(Histogram::lower(b))), b);
    const float last = std::nextafter(Histogram::upper(b), 0.0f);
    EXPECT_EQ(Histogram::bin(std::bit_cast<uint32_t>(last)), b);
  }
}

// |N(0, 1)|: the normal distribution's quantile at (1 + p) / 2.
TEST(Histogram, QuantilesOfNormalValues) {
  const StepStats stats = observe(test::random_tensor({1000, 1000}, 17), 1);
  const std::pair<double, double> expected[] = {
      {0.5, 0.67449}, {0.9, 1.64485}, {0.99, 2.57583}, {0.999, 3.29053}};
  for (const auto& [p, value] : expected) {
    // A sum of 12 uniforms has lighter tails: 3.13 instead of 3.29 at 99.9 %.
    EXPECT_NEAR(Histogram::quantile(stats.histogram, p, stats.absmax), value, 0.055 * value) << p;
  }
  EXPECT_EQ(Histogram::quantile(stats.histogram, 1, stats.absmax), stats.absmax);
}

TEST(Histogram, QuantileAgreesWithSortedValues) {
  Random random(4);
  std::vector<float> values(20000);
  for (float& v : values) v = std::exp(2 * random.normal());
  const StepStats stats = observe(Tensor::from(values, {200, 100}), 1);
  std::sort(values.begin(), values.end());
  for (const double p : {0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 0.9995}) {
    const float exact = values[static_cast<size_t>(p * 19999)];
    // Within the bin that holds it: at most an eighth off, less where the bin is well filled.
    EXPECT_NEAR(Histogram::quantile(stats.histogram, p, stats.absmax), exact, exact / 8) << p;
  }
  for (const double p : {0.3, 0.5, 0.9}) {
    const float exact = values[static_cast<size_t>(p * 19999)];
    EXPECT_NEAR(Histogram::quantile(stats.histogram, p, stats.absmax), exact, exact / 60) << p;
  }
}

TEST(Histogram, QuantileOfFewValues) {
  std::vector<uint64_t> counts(Histogram::kBins);
  EXPECT_EQ(Histogram::quantile(counts, 0.5, 0), 0);
  counts[0] = 10;  // all zero
  EXPECT_EQ(Histogram::quantile(counts, 0.5, 0), 0);
  const StepStats one = observe(Tensor::from({3e30f}, {1, 1}), 1);  // beyond the last bin's floor
  EXPECT_LE(Histogram::quantile(one.histogram, 0.5, one.absmax), 3e30f);
  EXPECT_GE(Histogram::quantile(one.histogram, 0.5, one.absmax), 0x1p24f);
}

}  // namespace
}  // namespace octavo
