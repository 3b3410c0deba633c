#include "quant/calibrate.h"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>

#include "base/atomic_file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/threads.h"
#include "quant/quantize_model.h"
#include "sample/rng.h"
#include "zoo.h"

namespace octavo {
namespace {

using test::error_of;
using test::zoo;

// Of step 0 of x_embedder.
StepStats without_rows(const Stats& stats) {
  StepStats step = stats.layer("transformer/x_embedder").steps.at(0);
  step.rows = {};
  return step;
}

class Calibrate : public testing::Test {
 protected:
  void SetUp() override {
    set_progress_enabled(false);
    options_.prompts = {"ghost", "blue car", "banana"};
    options_.seed = 7;
    options_.batch = 1;
    options_.steps = 2;
  }
  void TearDown() override { set_progress_enabled(true); }

  test::TempFolder folder_;
  CalibrateOptions options_;
};

TEST_F(Calibrate, SeesEveryLayerThatMakesThePicture) {
  const Stats stats = calibrate(*zoo(), options_);
  EXPECT_EQ(stats.model_hash, zoo()->hash());
  EXPECT_EQ(stats.prompts, (std::vector<std::string>{"7:ghost", "8:blue car", "9:banana"}));
  for (const CoverageRow& row : cover(Recipe::parse("* int8wo", "all"), *zoo()).rows) {
    SCOPED_TRACE(row.name());
    // A picture from text does not pass through the VAE's encoder.
    EXPECT_EQ(stats.has(row.name()), !row.name().starts_with("vae/encoder"));
    if (!stats.has(row.name())) continue;
    const bool linear = row.layer.op == Op::linear;
    std::vector<int> steps;
    for (const auto& [step, s] : stats.layer(row.name()).steps) {
      steps.push_back(step);
      EXPECT_EQ(static_cast<int64_t>(s.channel_max.size()), row.layer.weight_shape[1]);
      EXPECT_EQ(s.rows.size() > 0, linear);
      EXPECT_EQ(s.non_finite, 0u);
      EXPECT_GT(s.absmax, 0);
      EXPECT_GT(s.count, 0u);
    }
    EXPECT_EQ(stats.layer(row.name()).moment.rows() > 0, linear);
    const bool looped = row.component == "transformer";
    EXPECT_EQ(steps, looped ? (std::vector<int>{0, 1}) : std::vector<int>{-1});
  }
}

// The input of x_embedder at step 0 is the starting noise, once for each half of the guided batch.
TEST_F(Calibrate, CountsWhatTheLayersAreFed) {
  const Stats stats = calibrate(*zoo(), options_);
  StepStats noise;
  for (uint64_t i = 0; i < 3; ++i) {
    for (int half = 0; half < 2; ++half) {
      noise.merge(observe(randn(RngKind::torch, 7 + i, {1, 64, 32}), -1));
    }
  }
  EXPECT_EQ(without_rows(stats), noise);
}

// x_embedder's input is known: of each half 64 rows, one in 16 of them in the second moment.
TEST_F(Calibrate, KeepsRowsAndMoments) {
  options_.components = {"transformer"};
  options_.prompts.resize(1);
  options_.steps = 1;
  const Stats stats = calibrate(*zoo(), options_);
  const Tensor noise = randn(RngKind::torch, 7, {64, 32}),
               rows = stats.rows("transformer/x_embedder");
  EXPECT_EQ(rows.shape(), (Shape{32, 32}));
  const auto is_one_of = [&](const float* row) {
    for (int64_t r = 0; r < 64; ++r) {
      if (std::equal(row, row + 32, noise.as<float>() + 32 * r)) return true;
    }
    return false;
  };
  for (int64_t r = 0; r < 32; ++r) EXPECT_TRUE(is_one_of(rows.as<float>() + 32 * r)) << r;
  const SecondMoment& moment = stats.moment("transformer/x_embedder");
  EXPECT_EQ(moment.rows(), 8u);
  double trace = 0;
  for (int64_t c = 0; c < 32; ++c) trace += moment.matrix()[33 * c];
  EXPECT_NEAR(trace, 32, 9);  // of normal values
  options_.sampling = {0, 0};
  const Stats none = calibrate(*zoo(), options_);
  for (const auto& ask :
       std::vector<std::function<void()>>{[&] { none.rows("transformer/x_embedder"); },
                                          [&] { none.moment("transformer/x_embedder"); }}) {
    EXPECT_NE(std::string(error_of(ask).what()).find("was told to"), std::string::npos);
  }
}

TEST_F(Calibrate, BatchAndThreadsDoNotMatter) {
  options_.prompts = {"ghost", "blue car", "banana", "", "ghost"};
  const std::string one = folder_.file("one"), other = folder_.file("other");
  calibrate(*zoo(), options_).save(one);
  for (const auto& [batch, threads] : {std::pair{4, 3}, {5, 1}, {2, 2}}) {
    options_.batch = batch;
    set_thread_count(threads);
    calibrate(*zoo(), options_).save(other);
    EXPECT_EQ(read_file(one) == read_file(other), true) << batch << " " << threads;
  }
  set_thread_count(0);
}

// Little memory: many passes over the prompts, the same bytes; broken off anywhere as well.
TEST_F(Calibrate, PassesGiveTheSameBytes) {
  options_.components = {"transformer"};
  options_.prompts.resize(2);
  const std::string whole = folder_.file("whole"), parts = folder_.file("parts");
  calibrate(*zoo(), options_).save(whole);
  options_.memory = 16 << 20;
  EXPECT_NE(std::string(error_of([&] { calibrate(*zoo(), options_); }).what()).find("checkpoint"),
            std::string::npos);
  options_.checkpoint = folder_.file("partial");
  calibrate(*zoo(), options_).save(parts);
  EXPECT_EQ(read_file(whole) == read_file(parts), true);
  EXPECT_EQ(read_file(options_.checkpoint) == read_file(whole), true);
}

TEST_F(Calibrate, LayersOfOneInputGetOneScale) {
  const Stats stats = calibrate(*zoo(), options_);
  const auto view = quantized_view(zoo(), Recipe::for_scheme("int8", *zoo()), &stats);
  const auto store = view->weights("transformer");
  const auto scale = [&](const std::string& layer) {
    return store->quantized("transformer_blocks.0." + layer)->input_scale.to_floats().at(0);
  };
  EXPECT_EQ(scale("attn.to_q"), scale("attn.to_k"));
  EXPECT_EQ(scale("attn.to_q"), scale("attn.to_v"));
  EXPECT_NE(scale("attn.to_q"), scale("attn.to_out.0"));
  EXPECT_EQ(scale("ff.net.2"), stats.absmax("transformer/transformer_blocks.0.ff.net.2") / 127);
}

TEST_F(Calibrate, ResumedEqualsUninterrupted) {
  const std::string whole = folder_.file("whole"), parts = folder_.file("parts");
  options_.checkpoint = folder_.file("partial");
  const CalibrateOptions all = options_;
  calibrate(*zoo(), all).save(whole);
  EXPECT_EQ(read_file(all.checkpoint), read_file(whole));
  // After one batch of three, and with all of them done.
  std::filesystem::remove(options_.checkpoint);
  options_.prompts.resize(1);
  calibrate(*zoo(), options_);
  for (int run = 0; run < 2; ++run) {
    calibrate(*zoo(), all).save(parts);
    EXPECT_EQ(read_file(parts) == read_file(whole), true) << run;
  }
}

TEST_F(Calibrate, CtrlCKeepsTheBatchesThatWereDone) {
  options_.checkpoint = folder_.file("partial");
  options_.prompts.resize(1);
  calibrate(*zoo(), options_);
  const std::string before = read_file(options_.checkpoint);
  install_interrupt_handler();
  raise(SIGINT);
  options_.prompts = {"ghost", "blue car"};
  EXPECT_EQ(error_of([&] { calibrate(*zoo(), options_); }).code(), ErrorCode::cancelled);
  clear_interrupt();
  EXPECT_EQ(read_file(options_.checkpoint), before);
}

TEST_F(Calibrate, PartsMergeToTheWhole) {
  const Stats whole = calibrate(*zoo(), options_);
  Stats merged;
  for (size_t i = 3; i-- > 0;) {
    CalibrateOptions one = options_;
    one.prompts = {options_.prompts[i]};
    one.seed = options_.seed + i;
    const Stats part = calibrate(*zoo(), one);
    if (merged.layers.empty()) {
      merged = part;
    } else {
      merged.merge(part);
    }
  }
  EXPECT_EQ(merged, whole);
}

TEST_F(Calibrate, CheckpointsOfAnotherCalibrationAreRefused) {
  options_.checkpoint = folder_.file("partial");
  options_.prompts.resize(1);
  calibrate(*zoo(), options_);
  const auto expect_refused = [&](const CalibrateOptions& other) {
    const Error error = error_of([&] { calibrate(*zoo(), other); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find(options_.checkpoint.string()), std::string::npos)
        << error.what();
  };
  CalibrateOptions other = options_;
  other.prompts = {"banana"};
  expect_refused(other);
  other = options_;
  other.seed = 8;
  expect_refused(other);
  other = options_;
  other.steps = 3;
  expect_refused(other);
  other = options_;
  other.components = {"vae"};
  expect_refused(other);
  other = options_;
  other.sampling.rows = 4;
  expect_refused(other);
  other = options_;
  other.prompts.push_back("banana");
  other.memory = 1;
  expect_refused(other);
  std::ofstream(options_.checkpoint) << "no safetensors";
  EXPECT_EQ(error_of([&] { calibrate(*zoo(), options_); }).code(), ErrorCode::bad_file);
}

TEST_F(Calibrate, ChosenComponentsOnly) {
  options_.components = {"vae", "text_encoder"};
  options_.steps = 1;
  for (const auto& [layer, steps] : calibrate(*zoo(), options_).layers) {
    EXPECT_FALSE(layer.starts_with("transformer/")) << layer;
  }
  options_.components = {"unet"};
  EXPECT_NE(std::string(error_of([&] { calibrate(*zoo(), options_); }).what())
                .find("no component \"unet\""),
            std::string::npos);
}

TEST_F(Calibrate, GivenNoise) {
  options_.prompts.resize(2);
  options_.components = {"transformer"};
  options_.noise = test::random_tensor({2, 64, 32}, 5);
  StepStats noise;
  for (int half = 0; half < 2; ++half) noise.merge(observe(options_.noise, -1));
  EXPECT_EQ(without_rows(calibrate(*zoo(), options_)), noise);
  options_.noise = test::random_tensor({3, 64, 32}, 5);
  EXPECT_NE(std::string(error_of([&] { calibrate(*zoo(), options_); }).what())
                .find("expected f32 [2, 64, 32]"),
            std::string::npos);
}

TEST_F(Calibrate, RefusesWhatItCannotUse) {
  options_.prompts = {};
  EXPECT_EQ(error_of([&] { calibrate(*zoo(), options_); }).code(), ErrorCode::invalid_argument);
  options_.prompts = {"\xff"};
  EXPECT_EQ(error_of([&] { calibrate(*zoo(), options_); }).code(), ErrorCode::invalid_argument);
  options_.prompts = {"a"};
  options_.batch = 0;
  EXPECT_EQ(error_of([&] { calibrate(*zoo(), options_); }).code(), ErrorCode::invalid_argument);
  options_.batch = 1;
  const auto view = quantized_view(zoo(), Recipe::for_scheme("int8wo", *zoo()), nullptr);
  EXPECT_NE(std::string(error_of([&] { calibrate(*view, options_); }).what()).find("is quantized"),
            std::string::npos);
}

TEST_F(Calibrate, LayersNeverSeenCannotBeStatic) {
  const Stats stats = calibrate(*zoo(), options_);
  const Recipe recipe = Recipe::parse("vae/encoder.conv_in int8\n", "x");
  const Error error = error_of([&] { quantized_view(zoo(), recipe, &stats); });
  EXPECT_NE(std::string(error.what()).find("layer vae/encoder.conv_in has no calibration"),
            std::string::npos)
      << error.what();
}

TEST(CalibrationPrompts, AreSpreadOverTheKnownOnes) {
  const std::vector<std::string> known = zoo()->prompts("known");
  const std::vector<std::string> prompts = calibration_prompts(*zoo());
  ASSERT_EQ(prompts.size(), 32u);
  EXPECT_EQ(prompts[0], known[0]);
  EXPECT_EQ(prompts[31], known[31 * known.size() / 32]);
  EXPECT_EQ(calibration_prompts(*zoo(), 5000), known);
  const auto vae = open_model(test::kZoo / "vae");
  EXPECT_NE(std::string(error_of([&] { calibration_prompts(*vae); }).what()).find("--prompts"),
            std::string::npos);
}

}  // namespace
}  // namespace octavo
