#include <algorithm>

#include "quant/recipe.h"
#include "zoo.h"

namespace octavo {
namespace {

using test::error_of;
using test::zoo;

const ComponentCoverage& component(const Coverage& coverage, const std::string& name) {
  for (const ComponentCoverage& c : coverage.components) {
    if (c.component == name) return c;
  }
  throw std::runtime_error("no component " + name);
}

Coverage cover_text(const std::string& recipe) {
  return cover(Recipe::parse(recipe, "my.recipe"), *zoo());
}

void expect_error(const std::string& recipe, std::initializer_list<const char*> words) {
  const Error error = error_of([&] { cover_text(recipe); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  for (const char* word : words) {
    EXPECT_NE(std::string(error.what()).find(word), std::string::npos)
        << word << " in: " << error.what();
  }
}

// zoo/README.md: 44 linears of the blocks, 6.29 M of 9.12 M parameters, for every default scheme.
TEST(Coverage, OfTheDefaultSchemes) {
  for (const NamedScheme& row : scheme_table()) {
    SCOPED_TRACE(row.name);
    const Coverage coverage = cover(Recipe::for_scheme(row.name, *zoo()), *zoo());
    const ComponentCoverage& c = component(coverage, "transformer");
    EXPECT_EQ(c.quantized_layers, 44);
    EXPECT_NEAR(c.quantized_parameters / 1e6, 6.29, 0.005);
    EXPECT_NEAR(c.parameters / 1e6, 9.12, 0.005);
    EXPECT_EQ(component(coverage, "vae").quantized_layers, 0);
    EXPECT_EQ(component(coverage, "text_encoder").quantized_layers, 0);
    for (const CoverageRow& r : coverage.rows) {
      if (!r.scheme) continue;
      EXPECT_EQ(r.scheme, row.scheme);
      EXPECT_NE(r.layer.name.find("transformer_blocks"), std::string::npos) << r.layer.name;
      EXPECT_EQ(r.layer.name.find("norm"), std::string::npos) << r.layer.name;
    }
  }
}

TEST(Coverage, SharesAddUp) {
  const Coverage coverage = cover_text("* int8wo");
  double parameters = 0, flops = 0;
  for (const CoverageRow& row : coverage.rows) {
    EXPECT_GT(row.flops, 0) << row.name();
    if (row.component == "transformer") parameters += row.parameters, flops += row.flops;
  }
  const ComponentCoverage& c = component(coverage, "transformer");
  EXPECT_EQ(c.quantized_layers, c.layers);
  EXPECT_EQ(c.quantized_parameters, parameters);
  EXPECT_EQ(c.quantized_flops, flops);
  EXPECT_LT(c.quantized_parameters, c.parameters);  // biases and norms
  EXPECT_LT(c.quantized_flops, c.flops);            // attention
  EXPECT_EQ(c.extents, "B=1 S=64 T=64");
}

// A linear of K inputs and N outputs over 64 tokens: 2 K N 64 operations.
TEST(Coverage, OperationsAtTheStatedExtents) {
  const Coverage coverage = cover_text("transformer/transformer_blocks.0.attn.to_q int8wo");
  EXPECT_EQ(component(coverage, "transformer").quantized_flops, 2.0 * 256 * 256 * 64);
}

TEST(Coverage, ConvolutionsAndOtherComponents) {
  const Coverage coverage = cover_text(
      "vae/decoder.*.conv? int8\nvae/* keep\ntext_encoder/*.DenseReluDense.* fp8dqrow\n");
  int convolutions = 0;
  for (const CoverageRow& row : coverage.rows) {
    if (row.component == "vae" && row.scheme) {
      EXPECT_EQ(row.layer.op, Op::conv2d);
      EXPECT_TRUE(row.layer.name.starts_with("decoder.")) << row.layer.name;
      ++convolutions;
    }
    if (row.component == "vae" && !row.scheme) {
      EXPECT_EQ(row.reason, "line says keep");
    }
    if (row.component == "transformer") {
      EXPECT_EQ(row.reason, "no line matches");
    }
  }
  EXPECT_GT(convolutions, 10);
  EXPECT_EQ(component(coverage, "text_encoder").quantized_layers, 3 * 3);
}

TEST(Coverage, FirstMatchDecides) {
  const Coverage coverage = cover_text(
      "transformer/transformer_blocks.0.* keep # touchy\n"
      "transformer/transformer_blocks.* int8wo\n");
  for (const CoverageRow& row : coverage.rows) {
    if (row.layer.name.starts_with("transformer_blocks.0.")) {
      EXPECT_EQ(row.reason, "touchy");
    } else if (row.layer.name.starts_with("transformer_blocks.1.")) {
      EXPECT_TRUE(row.scheme.has_value());
    }
  }
}

TEST(Coverage, LinesThatDoNothingAreErrors) {
  expect_error("transformer/* int8wo\nvae/decodr.* int8wo\n",
               {"my.recipe:2:", "vae/decodr.*", "matches no layer"});
  expect_error("transformer/* int8wo\ntransformer/*.to_q keep\n",
               {"my.recipe:2:", "transformer/*.to_q", "earlier lines", "move this line up"});
  expect_error("transformer/* keep\n", {"my.recipe", "no layer", "would be quantized"});
  expect_error("", {"my.recipe", "no layer", "would be quantized"});
}

TEST(Coverage, LayersThatASchemeCannotHold) {
  expect_error("transformer/* w=i4/1x96/static/f16\n",
               {"my.recipe:1:", "layer transformer/", "K = ", "group 96", " keep`"});
  expect_error("vae/decoder.conv_in w=i4/1x64/static/f16\n", {"K = 72", "group 64"});
  expect_error("vae/decoder.conv_in w=i8/1x*/static/f32 a=i8/1x8/dynamic/f32\n",
               {"convolution", "a sample (1x*)"});
  expect_error("vae/decoder.conv_in w=i8/1x*/static/f32 a=i8/4x*/dynamic/f32\n", {"convolution"});
  expect_error("transformer/*.to_q w=i8/1x*/static/f32 a=i8/1x*/static/f32\n",
               {"static activation", "one scale a tensor"});
  expect_error("transformer/*.to_q w=i8/1x*/static/f32 a=i8/1x*/dynamic/f32/zp\n", {"zero point"});
  expect_error("transformer/*.to_q w=i8/1x*/static/f32 a=i8/1x96/dynamic/f32\n",
               {"K = 256", "group 96"});
}

// K is 256, 1024 or 1280 in the blocks.
TEST(Coverage, NamedSchemesKeepWhatTheyCannotHold) {
  const std::string scheme = "w=i4/1x512/static/f16";
  const Recipe recipe = Recipe::for_scheme(scheme, *zoo());
  const Coverage coverage = cover(recipe, *zoo());
  int kept = 0, quantized = 0;
  for (const CoverageRow& row : coverage.rows) {
    if (row.component != "transformer") continue;
    if (row.scheme) {
      EXPECT_EQ(row.layer.weight_shape[1] % 512, 0) << row.name();
      ++quantized;
    } else if (row.reason.find("group 512") != std::string::npos) {
      EXPECT_NE(row.layer.weight_shape[1] % 512, 0) << row.name();
      ++kept;
    }
  }
  EXPECT_EQ(kept + quantized, 44);
  EXPECT_GT(quantized, 0);
  EXPECT_NE(describe(coverage, false).find("is not a multiple of the group 512"),
            std::string::npos);
  // The artifact keeps the recipe as text.
  EXPECT_EQ(Recipe::parse(recipe.text(), "x").text(), recipe.text());
}

TEST(Coverage, SchemesThatAreNone) {
  for (const char* scheme : {"int9", "keep", "", "int8\n* keep", "int8 solver=best"}) {
    EXPECT_EQ(error_of([&] { Recipe::for_scheme(scheme, *zoo()); }).code(),
              ErrorCode::invalid_argument)
        << scheme;
  }
  EXPECT_EQ(Recipe::for_scheme("int8 solver=percentile:99.95", *zoo()).rules.back().how.solver,
            (Solver{"percentile", 99.95}));
}

TEST(Coverage, ModelWithoutATransformer) {
  const auto vae = open_model(test::kZoo / "vae");
  const Error error = error_of([&] { Recipe::for_scheme("int8wo", *vae); });
  EXPECT_NE(std::string(error.what()).find("write a recipe"), std::string::npos) << error.what();
  EXPECT_EQ(cover(Recipe::parse("vae/* int8wo", "x"), *vae).components.size(), 1u);
}

TEST(Coverage, DescribesEveryLayerOnDemand) {
  const Coverage coverage = cover(Recipe::for_scheme("int8 solver=mse", *zoo()), *zoo());
  const std::string brief = describe(coverage, false), full = describe(coverage, true);
  for (const char* words : {"transformer", "44 of", "6.29 of 9.12 M", "B=1 S=64 T=64"}) {
    EXPECT_NE(brief.find(words), std::string::npos) << words << " in\n" << brief;
  }
  EXPECT_EQ(static_cast<size_t>(std::count(full.begin(), full.end(), '\n')),
            coverage.components.size() + coverage.rows.size());
  EXPECT_NE(full.find("solver=mse"), std::string::npos);
}

}  // namespace
}  // namespace octavo
