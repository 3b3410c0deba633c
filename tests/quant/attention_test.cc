// Attention in recipes, statistics, views and artifacts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/models.h"
#include "quant/calibrate.h"
#include "quant/quantize_model.h"
#include "quant/recipe.h"
#include "zoo.h"

namespace octavo {
namespace {

using test::error_of;
using test::zoo;
using ::testing::HasSubstr;

constexpr const char* kBlock = "transformer/transformer_blocks.0.attn";

const AttentionRow& row_of(const Coverage& coverage, const std::string& name) {
  for (const AttentionRow& row : coverage.attentions) {
    if (row.name() == name) return row;
  }
  throw std::runtime_error("no attention " + name);
}

TEST(AttentionRecipe, LinesAreForAttentionsOrLayers) {
  const char* text =
      "transformer/transformer_blocks.0.attn  keep  # dear\n"
      "transformer/*  attn-fp8 solver=percentile:99.9\n"
      "transformer/*  int8wo\n";
  const Recipe recipe = Recipe::parse(text, "r");
  EXPECT_EQ(Recipe::parse(recipe.text(), "r").text(), recipe.text());
  EXPECT_EQ(recipe.match("transformer/transformer_blocks.0.attn.to_q")->scheme,
            find_scheme("int8wo"));
  const Coverage coverage = cover(recipe, *zoo());
  EXPECT_FALSE(row_of(coverage, kBlock).scheme.has_value());
  EXPECT_EQ(row_of(coverage, kBlock).reason, "dear");
  const AttentionRow& single = row_of(coverage, "transformer/single_transformer_blocks.0.attn");
  EXPECT_EQ(single.scheme, find_attention_scheme("attn-fp8"));
  EXPECT_EQ(single.how.solver.text(), "percentile:99.9");
  for (const CoverageRow& row : coverage.rows) {
    EXPECT_EQ(row.scheme.has_value(), row.component == "transformer") << row.name();
  }
  EXPECT_THAT(describe(coverage, false), HasSubstr(" attentions\n"));
  EXPECT_THAT(describe(coverage, true), HasSubstr(single.scheme->text()));
}

TEST(AttentionRecipe, SchemesWithAttentionBehindAPlus) {
  const Recipe recipe = Recipe::for_scheme("int8dq+attn-fp8dq", *zoo());
  const Coverage coverage = cover(recipe, *zoo());
  for (const AttentionRow& row : coverage.attentions) {
    EXPECT_EQ(row.scheme.has_value(), row.component == "transformer") << row.name();
  }
  EXPECT_FALSE(needs_statistics(recipe));
  EXPECT_TRUE(needs_statistics(Recipe::for_scheme("int8dq+attn-fp8", *zoo())));
  EXPECT_FALSE(needs_statistics(Recipe::for_scheme("int8dq", *zoo())));
}

TEST(AttentionRecipe, WhatMakesNoSense) {
  const auto message = [](const std::string& text) {
    return std::string(error_of([&] { cover(Recipe::parse(text, "r"), *zoo()); }).what());
  };
  EXPECT_THAT(message("transformer/*.to_q attn-fp8\n* int8wo"), HasSubstr("matches no attention"));
  EXPECT_THAT(message("* attn-fp8\ntransformer/* attn-fp8dq"), HasSubstr("earlier lines"));
  EXPECT_THAT(message("* attn-fp8dq solver=mse"), HasSubstr("nothing to solve"));
  EXPECT_THAT(message("* attn-fp8 round=gptq"), HasSubstr("attention can have solver"));
  EXPECT_THAT(message("* attn-fp9"), HasSubstr("unknown attention scheme"));
  const Error error = error_of([] { Recipe::for_scheme("fp8+int8", *zoo()); });
  EXPECT_THAT(error.what(), HasSubstr("not a scheme of attention"));
}

// Statistics of two prompts and steps: enough for scales.
const Stats& stats() {
  static const Stats made = [] {
    CalibrateOptions options;
    options.prompts = {"pizza", "dog"};
    options.steps = 2;
    options.components = {"transformer"};
    return calibrate(*zoo(), options);
  }();
  return made;
}

TEST(AttentionQuantization, CalibrationSeesOperands) {
  for (const char* operand : {"q", "k", "v"}) {
    const std::string name = std::string(kBlock) + ".attention." + operand;
    EXPECT_GT(stats().absmax(name), 0.0f) << name;
  }
}

TEST(AttentionQuantization, GraphsPassOperandsThroughTheirSpecs) {
  const Recipe recipe = Recipe::parse("transformer/* attn-fp8", "r");
  const auto view = quantized_view(zoo(), recipe, &stats());
  const auto weights = view->weights("transformer");
  const Config config = view->config("transformer");
  const Graph graph = find_family(config).build(config, weights.get(), "forward");
  verify(graph, "building");
  size_t found = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op != Op::attention) continue;
    ++found;
    EXPECT_EQ(node.attrs.get_string("weights"), "e4m3");
    for (size_t i = 0; i < 3; ++i) {
      const Node& back = graph.node(graph.value(node.inputs[i]).producer);
      ASSERT_EQ(back.op, Op::dequantize);
      EXPECT_EQ(graph.node(graph.value(back.inputs[0]).producer).op, Op::quantize);
    }
  }
  EXPECT_GT(found, 0u);
  const float scale = stats().absmax(std::string(kBlock) + ".attention.q") / 448;
  const auto id = graph.find("transformer_blocks.0.attn.q_scale");
  ASSERT_TRUE(id.has_value());
  EXPECT_FLOAT_EQ(graph.value(*id).constant->to_floats()[0], scale);
}

TEST(AttentionQuantization, ArtifactsKeepScales) {
  const test::TempFolder folder;
  const std::string file = folder.file("a.safetensors");
  const Recipe recipe = Recipe::parse(
      "transformer/* int8wo\ntransformer/single* attn-fp8\n"
      "transformer/* attn-fp8dq",
      "r");
  quantize_model(zoo(), recipe, &stats(), file);
  const auto view = quantized_view(zoo(), recipe, &stats())->weights("transformer");
  const auto stored = open_model(file)->weights("transformer");
  for (const AttentionRow& row : cover(recipe, *zoo()).attentions) {
    if (!row.scheme) continue;
    const auto a = view->attention(row.attention.name), b = stored->attention(row.attention.name);
    ASSERT_TRUE(a && b) << row.name();
    EXPECT_EQ(a->scheme, b->scheme);
    EXPECT_EQ(a->q_scale.has_data(), b->q_scale.has_data());
    if (!a->q_scale.has_data()) continue;
    EXPECT_TRUE(test::equal_bytes(a->q_scale, b->q_scale));
    EXPECT_TRUE(test::equal_bytes(a->k_scale, b->k_scale));
    EXPECT_TRUE(test::equal_bytes(a->v_scale, b->v_scale));
  }
}

TEST(AttentionQuantization, StaticSchemesNeedStatistics) {
  const Recipe recipe = Recipe::parse("transformer/* attn-fp8", "r");
  const Error error = error_of([&] { quantized_view(zoo(), recipe, nullptr); });
  EXPECT_THAT(error.what(), HasSubstr("static operands need statistics"));
  Stats without = stats();
  std::erase_if(without.layers, [](const auto& layer) {
    return layer.first.find(".attention.") != std::string::npos;
  });
  const Error unseen = error_of([&] { quantized_view(zoo(), recipe, &without); });
  EXPECT_THAT(unseen.what(), HasSubstr("attn.attention.q"));
}

}  // namespace
}  // namespace octavo
