#include "quant/stats.h"

#include <fstream>

#include "base/atomic_file.h"
#include "io/safetensors.h"
#include "quant/histogram.h"
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
    stats.layers["transformer/a"][step] = observe(test::random_tensor({2, 6, 8}, s), -1);
    stats.layers["transformer/b"][step] = observe(test::random_tensor({2, 5}, s + 1, 30), -1);
  }
  stats.layers["vae/conv"][-1] = observe(test::random_tensor({2, 3, 4, 4}, seed + 2), 1);
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
  EXPECT_EQ(abc.layers.at("vae/conv").at(-1).count, 3u * 2 * 3 * 4 * 4);
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
  other.layers["transformer/a"][0] = observe(test::random_tensor({2, 9}, 1), -1);
  EXPECT_NE(std::string(error_of([&] { stats.merge(other); }).what()).find("layer transformer/a"),
            std::string::npos);
}

TEST(Stats, AllSteps) {
  const Stats stats = some_stats(1, {"1:x"});
  float most = 0;
  for (const auto& [step, s] : stats.layers.at("transformer/b")) most = std::max(most, s.absmax);
  EXPECT_EQ(stats.absmax("transformer/b"), most);
  EXPECT_NE(std::string(error_of([&] { stats.absmax("vae/encoder.conv_in"); }).what())
                .find("vae/encoder.conv_in"),
            std::string::npos);
}

TEST(Stats, FileRoundTrip) {
  const test::TempFolder folder;
  Stats stats = some_stats(1, {"1:\"quoted\" \xc3\xa9", "5:"});
  stats.layers["transformer/a"][2].non_finite = 2;
  stats.layers["transformer/a"][2].count += 2;
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
  replace("\"format_version\":1", "\"format_version\":2");
  expect_refused("format_version");
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

TEST_F(StatsFile, NegativeAbsmax) {
  tensors_["vae/conv:channel_absmax"].as_mutable<float>()[1] = -1;
  expect_refused("vae/conv:channel_absmax");
}

TEST_F(StatsFile, NotFiniteAbsmax) {
  tensors_["vae/conv:channel_absmax"].as_mutable<float>()[1] = NAN;
  expect_refused("vae/conv:channel_absmax");
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
