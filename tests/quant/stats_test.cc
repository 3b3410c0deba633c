#include "quant/stats.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>

#include "base/atomic_file.h"
#include "io/safetensors.h"
#include "quant/histogram.h"
#include "quant/stats_diff.h"
#include "support.h"

namespace octavo {
namespace {

using test::error_of;

Stats some_stats(uint64_t seed, std::vector<std::string> prompts) {
  Stats stats;
  stats.model_hash = "0123";
  stats.schedule = R"({"steps":3})";
  stats.prompts = std::move(prompts);
  for (int step = 0; step < 3; ++step) {
    const uint64_t s = seed + 10 * static_cast<uint64_t>(step);
    const Tensor a = test::random_tensor({2, 6, 8}, s);
    StepStats& first = stats.add("transformer/a").steps[step];
    first = observe(a, -1);
    first.rows = RowSample(stats.sampling.rows);
    for (uint64_t r = 0; r < 12; ++r) {
      first.rows.offer((r + 1) * 0x9e3779b97f4a7c15u ^ s, a.as<float>() + 8 * r, 8);
    }
    SecondMoment& moment = stats.inputs["transformer/a"].moment;
    if (moment.empty()) moment = SecondMoment(8);
    moment.add(a.as<float>(), 12);
    stats.add("transformer/b").steps[step] = observe(test::random_tensor({2, 5}, s + 1, 30), -1);
  }
  stats.layers["transformer/a2"] = "transformer/a";
  stats.add("vae/conv").steps[-1] = observe(test::random_tensor({2, 3, 4, 4}, seed + 2), 1);
  return stats;
}

TEST(Stats, MergesInAnyOrder) {
  const Stats a = some_stats(1, {"1:x"}), b = some_stats(2, {"0:y"}), c = some_stats(3, {"2:z"});
  Stats abc = a, cba = c;
  abc.merge(b);
  abc.merge(c);
  cba.merge(b);
  cba.merge(a);
  EXPECT_EQ(abc, cba);
  EXPECT_EQ(abc.hash(), cba.hash());
  EXPECT_NE(abc.hash(), a.hash());
  EXPECT_EQ(abc.prompts, (std::vector<std::string>{"0:y", "1:x", "2:z"}));
  EXPECT_EQ(abc.layer("vae/conv").steps.at(-1).count, 3u * 2 * 3 * 4 * 4);
  EXPECT_EQ(abc.moment("transformer/a2").rows(), 3u * 3 * 12);
  EXPECT_EQ(abc.layer("transformer/a").steps.at(0).rows.size(), 32);
}

TEST(Stats, MergeIsAsIfSeenTogether) {
  const Tensor all = test::random_tensor({6, 4, 16}, 5, 3);
  StepStats merged = observe(all.rows(0, 1), -1);
  merged.merge(observe(all.rows(1, 4), -1));
  merged.merge(observe(all.rows(4, 6), -1));
  EXPECT_EQ(merged, observe(all, -1));
}

TEST(Stats, MergeRefusesWhatDoesNotBelongTogether) {
  Stats stats = some_stats(1, {"1:x"});
  Stats other = some_stats(2, {"2:x"});
  other.model_hash = "9";
  EXPECT_EQ(error_of([&] { stats.merge(other); }).code(), ErrorCode::invalid_argument);
  other = some_stats(2, {"2:x"});
  other.schedule = R"({"steps":4})";
  EXPECT_EQ(error_of([&] { stats.merge(other); }).code(), ErrorCode::invalid_argument);
  other = some_stats(2, {"1:x"});
  EXPECT_NE(std::string(error_of([&] { stats.merge(other); }).what()).find("'1:x'"),
            std::string::npos);
  other = some_stats(2, {"2:x"});
  other.inputs["transformer/a"].steps[0] = observe(test::random_tensor({2, 9}, 1), -1);
  EXPECT_NE(std::string(error_of([&] { stats.merge(other); }).what()).find("input transformer/a"),
            std::string::npos);
  const auto refused = [&](const std::string& words) {
    const Error error = error_of([&] { some_stats(1, {"1:x"}).merge(other); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  };
  other = some_stats(2, {"2:x"});
  other.sampling.moment_stride = 4;
  refused("one row in 4");
  other = some_stats(2, {"2:x"});
  other.unfinished = Unfinished{1, 0, {}};
  refused("unfinished");
  other = some_stats(2, {"2:x"});
  other.layers["transformer/a2"] = "transformer/b";
  refused("layer transformer/a2");
}

TEST(Stats, AllSteps) {
  const Stats stats = some_stats(1, {"1:x"});
  float most = 0;
  for (const auto& [step, absmax] : stats.step_absmax("transformer/b")) {
    EXPECT_EQ(absmax, stats.layer("transformer/b").steps.at(step).absmax);
    most = std::max(most, absmax);
  }
  EXPECT_EQ(stats.absmax("transformer/b"), most);
  EXPECT_NE(std::string(error_of([&] { stats.absmax("vae/encoder.conv_in"); }).what())
                .find("vae/encoder.conv_in"),
            std::string::npos);
}

TEST(Stats, FileRoundTrip) {
  const test::TempFolder folder;
  Stats stats = some_stats(1, {"1:\"quoted\" \xc3\xa9", "5:"});
  stats.inputs["transformer/b"].steps[2].non_finite = 5;
  stats.inputs["transformer/b"].steps[2].count += 5;
  stats.inputs["transformer/b"].steps[1].channel_min[3] = INFINITY;
  stats.inputs["transformer/b"].steps[1].channel_max[3] = -INFINITY;
  StepStats& other = stats.inputs["transformer/b"].steps[1];
  const std::vector<float> most = other.channel_absmax();
  other.absmax = *std::max_element(most.begin(), most.end());
  stats.save(folder.file("s.safetensors"));
  const Stats loaded = Stats::load(folder.file("s.safetensors"));
  EXPECT_EQ(loaded, stats);
  EXPECT_EQ(loaded.hash(), stats.hash());
  loaded.save(folder.file("t.safetensors"));
  EXPECT_EQ(read_file(folder.file("s.safetensors")), read_file(folder.file("t.safetensors")));
  const Stats none;
  none.save(folder.file("none.safetensors"));
  EXPECT_EQ(Stats::load(folder.file("none.safetensors")), none);
}

TEST(Stats, FilesMergeAsWhatWasSaved) {
  const test::TempFolder folder;
  const Stats a = some_stats(1, {"1:x"}), b = some_stats(2, {"2:y"});
  Stats merged = a;
  merged.merge(b);
  a.save(folder.file("a"));
  b.save(folder.file("b"));
  Stats read = Stats::load(folder.file("b"));
  read.merge(Stats::load(folder.file("a")));
  EXPECT_EQ(read, merged);
  EXPECT_EQ(Stats::load(folder.file("b")), b);
}

TEST(Stats, Difference) {
  const Stats a = some_stats(1, {"1:x"});
  for (const StatsDifference& d : diff_stats(a, a)) EXPECT_EQ(d.largest(), 0) << d.layer;
  EXPECT_EQ(diff_stats(a, a, "transformer/*").size(), 3u);
  Stats b = a;
  StepStats& step = b.inputs["transformer/b"].steps[1];
  step.channel_max[2] += step.absmax;
  step.absmax = step.channel_max[2];
  b.inputs["transformer/a"].moment.add(test::random_tensor({4, 8}, 3).as<float>(), 4);
  const std::vector<StatsDifference> found = diff_stats(a, b);
  for (const StatsDifference& d : found) {
    const bool shared = d.layer.starts_with("transformer/a");
    EXPECT_EQ(d.moment > 0.01, shared) << d.layer;
    EXPECT_EQ(d.range > 0.1, d.layer == "transformer/b") << d.layer;
    EXPECT_TRUE(d.layer != "transformer/b" || d.step == 1);
  }
  b.layers.erase("vae/conv");
  EXPECT_EQ(diff_stats(a, b).front().layer, "vae/conv");
  EXPECT_EQ(diff_stats(a, b).front().only, "a");
}

TEST(Stats, UsableForItsModelOnly) {
  const Stats stats = some_stats(1, {"1:x"});
  stats.check_usable("0123", "model");
  const auto refused = [&](const Stats& other, const std::string& hash, const std::string& words) {
    const Error error = error_of([&] { other.check_usable(hash, "model"); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  };
  refused(stats, "9", "calibrate this one");
  Stats other = stats;
  other.unfinished = Unfinished{};
  refused(other, "0123", "unfinished");
  other = Stats{};
  other.model_hash = "0123";
  refused(other, "0123", "nothing was calibrated");
}

TEST(Stats, CheckpointsSayWhatIsLeft) {
  const test::TempFolder folder;
  Stats stats = some_stats(1, {"1:x", "2:y"});
  stats.unfinished = Unfinished{1 << 20, 3, {"2:y"}};
  stats.save(folder.file("s"));
  EXPECT_EQ(Stats::load(folder.file("s")), stats);
}

// Means, ranges, moments and rows of a layer as plain loops over its input find them.
TEST(Stats, WhatSolversAsk) {
  const Stats stats = some_stats(1, {"1:x"});
  constexpr int64_t kChannels = 8, kRows = 12;
  std::vector<double> mean(kChannels), products(kChannels * kChannels);
  std::vector<float> absmax(kChannels), low(kChannels), high(kChannels);
  for (int step = 0; step < 3; ++step) {
    const Tensor a = test::random_tensor({kRows, kChannels}, 1 + 10 * static_cast<uint64_t>(step));
    for (int64_t r = 0; r < kRows; ++r) {
      const float* row = a.as<float>() + r * kChannels;
      for (int64_t c = 0; c < kChannels; ++c) {
        mean[c] += row[c] / (3.0 * kRows);
        absmax[c] = std::max(absmax[c], std::fabs(row[c]));
        low[c] = std::min(low[c], row[c]);
        high[c] = std::max(high[c], row[c]);
        for (int64_t d = 0; d < kChannels; ++d) {
          products[c * kChannels + d] += double{row[c]} * row[d] / (3.0 * kRows);
        }
      }
    }
  }
  for (const char* layer : {"transformer/a", "transformer/a2"}) {
    EXPECT_EQ(stats.channel_absmax(layer), absmax);
    EXPECT_EQ(stats.channel_min(layer), low);
    EXPECT_EQ(stats.channel_max(layer), high);
    const std::vector<double> found = stats.moment(layer).matrix();
    for (int64_t c = 0; c < kChannels; ++c) {
      EXPECT_NEAR(stats.channel_mean(layer)[c], mean[c], 1e-12);
      EXPECT_NEAR(stats.moment(layer).mean()[c], mean[c], 1e-12);
    }
    for (size_t i = 0; i < products.size(); ++i) EXPECT_NEAR(found[i], products[i], 1e-6) << i;
    EXPECT_EQ(stats.rows(layer).shape(), (Shape{36, 8}));
    EXPECT_EQ(stats.rows(layer, 1).shape(), (Shape{12, 8}));
  }
  for (const auto& ask : std::vector<std::function<void()>>{
           [&] { stats.moment("vae/conv"); }, [&] { stats.rows("vae/conv"); },
           [&] { stats.rows("transformer/a", 7); }, [&] { stats.layer("transformer/z"); }}) {
    EXPECT_EQ(error_of(ask).code(), ErrorCode::invalid_argument);
  }
}

TEST(Stats, TextNamesEveryLayer) {
  const std::string text = some_stats(1, {"1:x"}).text();
  for (const char* word : {"transformer/a", "transformer/b", "vae/conv", "0123", "1 prompts"}) {
    EXPECT_NE(text.find(word), std::string::npos) << word << " in\n" << text;
  }
}

// A stats file with one thing wrong is refused with the file, the tensor and what is wrong.
class StatsFile : public testing::Test {
 protected:
  void SetUp() override {
    path_ = folder_.file("s.safetensors");
    some_stats(1, {"1:x", "2:y"}).save(path_);
    const auto file = SafetensorsFile::open(path_);
    metadata_ = file->metadata();
    for (const auto& [name, entry] : file->entries()) tensors_[name] = file->tensor(name).clone();
  }

  void expect_refused(const std::string& words) {
    const std::string bad = folder_.file("bad.safetensors");
    save_safetensors(bad, tensors_, metadata_);
    const Error error = error_of([&] { Stats::load(bad); });
    EXPECT_EQ(error.code(), ErrorCode::bad_file);
    for (const std::string& part : {bad, words}) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }

  void replace(const std::string& from, const std::string& to) {
    std::string& text = metadata_.at("octavo.stats");
    ASSERT_NE(text.find(from), std::string::npos) << text;
    text.replace(text.find(from), from.size(), to);
  }

  test::TempFolder folder_;
  std::string path_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

TEST_F(StatsFile, WithoutMetadata) {
  metadata_.clear();
  expect_refused("octavo.stats");
}

TEST_F(StatsFile, NewerVersion) {
  replace("\"format_version\":2", "\"format_version\":3");
  expect_refused("format_version");
}

TEST_F(StatsFile, OlderVersion) {
  replace("\"format_version\":2", "\"format_version\":1");
  expect_refused("calibrate again");
}

TEST_F(StatsFile, LayerWithoutInput) {
  replace("\"transformer/a2\":\"transformer/a\"", "\"transformer/a2\":\"transformer/c\"");
  expect_refused("transformer/c");
}

TEST_F(StatsFile, NegativeSampling) {
  replace("\"rows\":32", "\"rows\":-1");
  expect_refused("rows");
}

TEST_F(StatsFile, MoreRowsThanAllowed) {
  replace("\"rows\":32", "\"rows\":3");
  expect_refused("transformer/a:counts");
}

TEST_F(StatsFile, HashesOutOfOrder) {
  int64_t* hashes = tensors_["transformer/a:row_hashes"].as_mutable<int64_t>();
  std::swap(hashes[0], hashes[1]);
  expect_refused("transformer/a:row_hashes");
}

TEST_F(StatsFile, RowsWithoutHashes) {
  tensors_.erase("transformer/a:row_hashes");
  expect_refused("transformer/a:row_hashes");
}

TEST_F(StatsFile, MomentOfAnotherSize) {
  tensors_["transformer/a:moment"] = Tensor::zeros(DType::i64, {2, 35});
  expect_refused("transformer/a:moment");
}

TEST_F(StatsFile, MomentOfNoRows) {
  tensors_["transformer/a:moment_rows"].as_mutable<int64_t>()[0] = 0;
  expect_refused("transformer/a:moment_rows");
}

TEST_F(StatsFile, MomentWithoutSums) {
  tensors_.erase("transformer/a:moment_sum");
  expect_refused("transformer/a:moment_sum");
}

TEST_F(StatsFile, ValuesThatFillNoRow) {
  tensors_["transformer/a:counts"].as_mutable<int64_t>()[0] += 1;  // not finite
  tensors_["transformer/a:counts"].as_mutable<int64_t>()[1] += 1;
  expect_refused("a multiple of 8 channels");
}

TEST_F(StatsFile, PromptTwice) {
  replace("\"2:y\"", "\"1:x\"");
  expect_refused("prompts");
}

TEST_F(StatsFile, PromptsOfAnotherType) {
  replace("\"2:y\"", "3");
  expect_refused("prompts");
}

TEST_F(StatsFile, MissingTensor) {
  tensors_.erase("vae/conv:counts");
  expect_refused("vae/conv:counts");
}

TEST_F(StatsFile, UnexpectedTensor) {
  tensors_["vae/conv"] = Tensor::scalar(1);
  expect_refused("unexpected tensor \"vae/conv\"");
}

TEST_F(StatsFile, RangeUpsideDown) {
  tensors_["vae/conv:channel_range"].as_mutable<float>()[1] = 1000;
  expect_refused("vae/conv:channel_range");
}

TEST_F(StatsFile, RangeThatIsNotFinite) {
  tensors_["vae/conv:channel_range"].as_mutable<float>()[1] = NAN;
  expect_refused("vae/conv:channel_range");
  tensors_["vae/conv:channel_range"].as_mutable<float>()[1] = INFINITY;
  expect_refused("vae/conv:channel_range");
}

TEST_F(StatsFile, NegativeCount) {
  tensors_["transformer/a:histogram"].as_mutable<int64_t>()[3] = -1;
  expect_refused("transformer/a:histogram");
}

TEST_F(StatsFile, HugeCount) {
  tensors_["transformer/a:histogram"].as_mutable<int64_t>()[3] = INT64_MAX;
  expect_refused("transformer/a:histogram");
}

TEST_F(StatsFile, CountsThatDoNotAddUp) {
  tensors_["transformer/a:histogram"].as_mutable<int64_t>()[3] += 1;
  expect_refused("transformer/a:counts");
}

TEST_F(StatsFile, StepsOutOfOrder) {
  tensors_["transformer/a:steps"].as_mutable<int64_t>()[1] = 0;
  expect_refused("transformer/a:steps");
}

TEST_F(StatsFile, StepBelowMinusOne) {
  tensors_["vae/conv:steps"].as_mutable<int64_t>()[0] = -2;
  expect_refused("vae/conv:steps");
}

TEST_F(StatsFile, NoSteps) {
  for (auto& [name, tensor] : tensors_) {
    if (name.starts_with("vae/conv:")) tensor = tensor.rows(0, 0);
  }
  expect_refused("vae/conv:steps");
}

TEST_F(StatsFile, SumsThatNothingAddsUp) {
  int64_t* sums = tensors_["transformer/b:channel_sum"].as_mutable<int64_t>();
  for (int step : {0, 1}) sums[step * 5 * 2 + 1] = INT64_MAX;  // high words of channel 0
  expect_refused("transformer/b:channel_sum");
}

TEST_F(StatsFile, SumsOfMagnitudes) {
  int64_t* sums = tensors_["transformer/b:sample_absmax_sum"].as_mutable<int64_t>();
  sums[1] = sums[3] = INT64_MAX;
  expect_refused("transformer/b:sample_absmax_sum");
  sums[1] = sums[3] = -1;
  expect_refused("sums of magnitudes");
}

// Each file is good, their sums are not.
TEST_F(StatsFile, SumsOfTwoFiles) {
  const auto sum_fails = [&](const std::string& tensor, int64_t at, const std::string& words) {
    auto tensors = tensors_;
    tensors[tensor] = tensors[tensor].clone();
    tensors[tensor].as_mutable<int64_t>()[at] = INT64_MAX;
    save_safetensors(folder_.file("large"), tensors, metadata_);
    Stats left = Stats::load(folder_.file("large")), right = left;
    right.prompts = {"3:z"};
    const Error error = error_of([&] {
      left.merge(right);
      left.save(folder_.file("sum"));
    });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    EXPECT_FALSE(std::filesystem::exists(folder_.file("sum")));
  };
  sum_fails("transformer/b:channel_sum", 1, "input transformer/b");
  sum_fails("transformer/b:sample_absmax_sum", 1, "input transformer/b");
  sum_fails("transformer/a:moment", 36, "\"transformer/a:moment\"");
  sum_fails("transformer/a:moment_sum", 8, "\"transformer/a:moment_sum\"");
}

TEST_F(StatsFile, WrongShape) {
  tensors_["transformer/a:histogram"] = Tensor::zeros(DType::i64, {3, Histogram::kBins - 1});
  expect_refused("transformer/a:histogram");
}

TEST_F(StatsFile, WrongType) {
  tensors_["transformer/a:steps"] = tensors_["transformer/a:steps"].to(DType::f32);
  expect_refused("transformer/a:steps");
}

}  // namespace
}  // namespace octavo
