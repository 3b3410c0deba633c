// What a search is put together from: candidates, promise, prompts, output errors, mixed models.
#include <set>

#include "base/progress.h"
#include "gmock/gmock.h"
#include "quant/explain/explain.h"
#include "quant/explain/word_gains.h"
#include "quant/layer_error.h"
#include "quant/mixed_model.h"
#include "quant/quantize_model.h"
#include "quant/search/candidates.h"
#include "quant/search/promise.h"
#include "quant/zoo.h"

namespace octavo {
namespace {

using test::zoo;
using testing::HasSubstr;

std::string message(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing thrown";
  return {};
}

TEST(Candidates, AreReadAsLinesOfARecipe) {
  const auto c = parse_candidates("int8dq, w=i4/1x64/static/f16 round=gptq , keep");
  ASSERT_EQ(c.size(), 3u);
  EXPECT_EQ(c[0].scheme->text(), find_scheme("int8dq").text());
  EXPECT_EQ(c[1].text, "w=i4/1x64/static/f16 round=gptq");
  EXPECT_EQ(c[1].how.rounding, LayerWords::Rounding::gptq);
  EXPECT_FALSE(c[2].scheme.has_value());
  EXPECT_TRUE(needs_statistics(c));
  EXPECT_FALSE(needs_statistics(parse_candidates("int8dq, keep")));
}

TEST(Candidates, BadOnesAreNamed) {
  EXPECT_THAT(message([] { parse_candidates("int8dq,,keep"); }), HasSubstr("empty candidate"));
  EXPECT_THAT(message([] { parse_candidates("int8dq, int99"); }), HasSubstr("int99"));
  EXPECT_THAT(message([] { parse_candidates("int8dq, int8dq"); }), HasSubstr("the same"));
  EXPECT_THAT(message([] { parse_candidates("attn-fp8"); }), HasSubstr("attention"));
}

TEST(Candidates, OnlyWhatALayerCanBe) {
  const auto candidates = parse_candidates("w=i4/1x192/static/f16, int8dq");
  const SearchedLayers found = list_layers(*zoo(), candidates, {});
  EXPECT_FALSE(found.layers.empty());
  std::set<size_t> counts;
  for (const SearchedLayer& layer : found.layers) {
    const bool divides = layer.layer.weight_shape[1] % 192 == 0;
    EXPECT_EQ(layer.possible, divides ? (std::vector<size_t>{0, 1}) : std::vector<size_t>{1});
    EXPECT_EQ(layer.layer.op, Op::linear);
    EXPECT_EQ(layer.name().find("norm"), std::string::npos);  // modulation stays in float
    counts.insert(layer.possible.size());
  }
  const SearchedLayers only = list_layers(*zoo(), parse_candidates("w=i4/1x7/static/f16, keep"),
                                          {"transformer/*.attn.to_q"});
  for (const SearchedLayer& layer : only.layers) EXPECT_EQ(layer.possible, std::vector<size_t>{1});
  EXPECT_THAT(message([] { list_layers(*zoo(), parse_candidates("int8dq"), {"nothing*"}); }),
              HasSubstr("nothing*"));
  EXPECT_THAT(message([] { list_layers(*zoo(), parse_candidates("w=i4/1x7/static/f16"), {}); }),
              HasSubstr("multiple of the group 7"));
}

TEST(Promise, IsRead) {
  EXPECT_EQ(Promise::parse("psnr >= 42.5").psnr, 42.5);
  EXPECT_EQ(Promise::parse("psnr>=40").text(), "psnr>=40");
  for (const char* bad : {"", "psnr", "psnr>40", "psnr>=", "psnr>=-3", "psnr>=x", "ssim>=0.9",
                          "psnr>=40dB", "psnr>=1000"}) {
    EXPECT_THAT(message([&] { Promise::parse(bad); }), HasSubstr("psnr>=DB")) << bad;
  }
}

TEST(PromptPool, SearchedVerifiedAndCalibratedAreDisjoint) {
  std::vector<std::string> prompts, calibrated;
  for (int i = 0; i < 100; ++i) prompts.push_back(std::to_string(i));
  for (int i = 0; i < 100; i += 5) calibrated.push_back(std::to_string(i));
  const PromptPool pool(prompts, calibrated, 8, 20);
  EXPECT_EQ(pool.searched().size(), 8u);
  EXPECT_EQ(pool.fresh_rounds(), 3u);
  std::set<std::string> seen(pool.searched().begin(), pool.searched().end());
  seen.insert(calibrated.begin(), calibrated.end());
  for (size_t round = 0; round < 3; ++round) {
    const auto verified = pool.verified(round);
    EXPECT_EQ(verified.size(), 20u);
    for (const std::string& prompt : verified) EXPECT_TRUE(seen.insert(prompt).second) << prompt;
  }
  EXPECT_EQ(pool.verified(3), pool.verified(0));
  EXPECT_THAT(message([&] { PromptPool(calibrated, {}, 18, 4); }), HasSubstr("20 different"));
  EXPECT_THAT(message([&] { PromptPool(calibrated, calibrated, 8, 4); }), HasSubstr("0 different"));
}

LayerStats stats_of(const Tensor& rows) {
  LayerStats stats;
  StepStats& step = stats.steps[0];
  step.rows = RowSample(rows.dim(0));
  const auto channels = rows.dim(1);
  for (int64_t i = 0; i < rows.dim(0); ++i)
    step.rows.offer(static_cast<uint64_t>(i), rows.as<float>() + i * channels, channels);
  return stats;
}

// By the definition, in plain loops.
TEST(LayerError, IsTheMeanSquaredErrorOfTheOutput) {
  const Tensor weight = test::random_tensor({6, 16}, 1), rows = test::random_tensor({9, 16}, 2);
  QuantizedLayer layer;
  layer.weight = quantize(weight, QuantSpec::parse("i4/1x8/static/f16"), MatrixView::weight);
  layer.bias = test::random_tensor({6}, 3, 0.1f);
  const Tensor bias = test::random_tensor({6}, 4, 0.1f);
  const LayerError found = layer_error(layer, weight, bias, stats_of(rows), {}, "x");
  const std::vector<float> q = dequantize(layer.weight, MatrixView::weight).to_floats();
  double error = 0, energy = 0, lost = 0, kept = 0;
  for (int64_t r = 0; r < 9; ++r) {
    for (int64_t o = 0; o < 6; ++o) {
      double exact = 0, made = 0;
      for (int64_t c = 0; c < 16; ++c) {
        const double x = rows.as<float>()[r * 16 + c];
        exact += x * weight.as<float>()[o * 16 + c];
        made += x * q[static_cast<size_t>(o * 16 + c)];
      }
      const double biases = double{layer.bias.as<float>()[o]} - bias.as<float>()[o];
      error += (made + biases - exact) * (made + biases - exact) / 9;
      energy += exact * exact / 9;
    }
  }
  for (size_t i = 0; i < q.size(); ++i) {
    lost += std::pow(double{q[i]} - weight.as<float>()[i], 2);
    kept += std::pow(double{weight.as<float>()[i]}, 2);
  }
  EXPECT_NEAR(found.error / error, 1, 1e-4);
  EXPECT_NEAR(found.energy / energy, 1, 1e-4);
  EXPECT_NEAR(found.weight_sqnr, 10 * std::log10(kept / lost), 1e-3);
  EXPECT_THAT(message([&] { layer_error(layer, weight, bias, LayerStats(), {}, "net.3"); }),
              HasSubstr("net.3"));
}

// Two exact ways of storing a layer lose nothing, whatever its input goes through.
TEST(LayerError, TransformsAndBranchesAreUndone) {
  const Tensor weight = test::random_tensor({4, 8}, 5), rows = test::random_tensor({5, 8}, 6);
  QuantizedLayer layer;
  layer.input.multiplier = Tensor::from({2, 2, 2, 2, 4, 4, 4, 4}, {8});
  layer.input.shift = Tensor::from({1, 0, 0, 0, 0, 0, 0, 0}, {8});
  Tensor scaled = weight.clone();
  std::vector<float> bias(4, 0);
  for (int64_t o = 0; o < 4; ++o) {
    bias[static_cast<size_t>(o)] = weight.as<float>()[o * 8];
    for (int64_t c = 0; c < 8; ++c) scaled.as_mutable<float>()[o * 8 + c] /= c < 4 ? 2 : 4;
  }
  layer.weight = quantize(scaled, QuantSpec::parse("i8/1x*/static/f32"), MatrixView::weight);
  layer.bias = Tensor::from(bias, {4});
  EXPECT_LT(layer_error(layer, weight, {}, stats_of(rows), {}, "x").relative(), 1e-3);
  layer.bias = {};  // without it the shift is not made up for
  EXPECT_GT(layer_error(layer, weight, {}, stats_of(rows), {}, "x").relative(), 1e-2);
}

TEST(LayerError, TakesTheScaleOfTheStep) {
  const Tensor weight = test::random_tensor({4, 8}, 5), rows = test::random_tensor({5, 8}, 6, 0.1f);
  QuantizedLayer layer;
  layer.weight = quantize(weight, QuantSpec::parse("i8/1x*/static/f32"), MatrixView::weight);
  layer.activation = QuantSpec::parse("i8/*x*/static/f32");
  layer.input_scale = Tensor::from({0.01f, 10}, {2, 1});
  layer.input_steps = Tensor::from({0.1f, 0.9f}, {2});
  const LayerStats stats = stats_of(rows);  // of step 0
  EXPECT_LT(layer_error(layer, weight, {}, stats, {0.1f}, "x").relative(), 0.01);
  EXPECT_GT(layer_error(layer, weight, {}, stats, {0.9f}, "x").relative(), 0.5);
  EXPECT_THAT(message([&] { layer_error(layer, weight, {}, stats, {}, "x"); }),
              HasSubstr("timestep"));
}

TEST(MixedModel, TakesTheLayersAskedForOnly) {
  const auto quantized = quantized_view(zoo(), Recipe::for_scheme("int8wo", *zoo()), nullptr);
  const std::string one = "transformer_blocks.0.attn.to_q";
  const auto mixed = mixed_model(
      zoo(), quantized, [&](const std::string& name) { return name == "transformer/" + one; });
  const auto store = mixed->weights("transformer");
  EXPECT_TRUE(store->quantized(one).has_value());
  EXPECT_FALSE(store->quantized("transformer_blocks.0.attn.to_k").has_value());
  EXPECT_FALSE(mixed->weights("vae")->quantized(one).has_value());
}

TEST(OutlierChannels, AreEightTimesTheMedian) {
  std::vector<float> absmax(33, 1);
  absmax[4] = 8.5f;
  absmax[9] = 100;
  absmax[20] = 7.9f;
  const auto found = outlier_channels(absmax);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].channel, 9);
  EXPECT_EQ(found[1].channel, 4);
  EXPECT_DOUBLE_EQ(found[0].ratio, 100);
  EXPECT_TRUE(outlier_channels(std::vector<float>(5, 0)).empty());
  EXPECT_TRUE(outlier_channels({}).empty());
}

TEST(WordGains, LeaveOutOneWordAtATime) {
  LayerWords words;
  unsigned taken = 0;
  for (const char* word : {"round=gptq", "clip=mse", "rotate", "smooth=0.5"})
    ASSERT_TRUE(words.take(word, taken));
  const auto each = without_each(words);
  ASSERT_EQ(each.size(), 4u);
  for (const auto& [word, less] : each) {
    EXPECT_NE(less, words);
    EXPECT_THAT(words.text(), HasSubstr(word));
    EXPECT_EQ(less.text().find(word), std::string::npos);
    EXPECT_EQ(without_each(less).size(), 3u);
  }
  EXPECT_TRUE(without_each(LayerWords()).empty());
}

}  // namespace
}  // namespace octavo
