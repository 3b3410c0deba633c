#include "quant/named_recipes.h"

#include <gtest/gtest.h>

#include "zoo.h"

namespace octavo {
namespace {

using test::error_of;
using test::zoo;

int quantized(const Coverage& coverage) {
  int count = 0;
  for (const CoverageRow& row : coverage.rows) count += row.scheme.has_value();
  return count;
}

const CoverageRow& row_of(const Coverage& coverage, const std::string& name) {
  for (const CoverageRow& row : coverage.rows) {
    if (row.name() == name) return row;
  }
  throw std::runtime_error("no layer " + name);
}

// FLUX of two double and four single blocks: 14 and 6 linears each, of which 1 or 2 modulate.
TEST(NamedRecipes, LevelsTakeWhatModelOptimizersDo) {
  for (const std::string format : {"int8", "fp8"}) {
    for (const auto& [level, layers] : {std::pair{"2", 2 * 2},
                                        {"2.5", 2 * 2 + 3 * (2 + 4)},
                                        {"3", 2 * 14 + 4 * 6},
                                        {"4", 2 * 14 + 4 * 6}}) {
      const std::string name = format + "-level" + level;
      SCOPED_TRACE(name);
      ASSERT_TRUE(names_recipe(name));
      const Recipe recipe = named_recipe(name, *zoo());
      const Coverage coverage = cover(recipe, *zoo());
      EXPECT_EQ(quantized(coverage), layers);
      const bool attention = std::string(level) == "4";
      EXPECT_EQ(coverage.components[1].quantized_attentions +
                    coverage.components[0].quantized_attentions +
                    coverage.components[2].quantized_attentions,
                attention ? 6 : 0);
      EXPECT_EQ(Recipe::parse(recipe.text(), "again").text(), recipe.text());
    }
  }
}

TEST(NamedRecipes, NamesDecideAsInTheOriginal) {
  const Coverage two = cover(named_recipe("int8-level2", *zoo()), *zoo());
  const std::string block = "transformer/transformer_blocks.0.";
  EXPECT_TRUE(row_of(two, block + "ff.net.0.proj").scheme.has_value());
  EXPECT_EQ(row_of(two, block + "ff_context.net.0.proj").reason, "above level 2");
  const Coverage half = cover(named_recipe("int8-level2.5", *zoo()), *zoo());
  EXPECT_TRUE(row_of(half, block + "attn.to_q").scheme.has_value());
  EXPECT_FALSE(row_of(half, block + "attn.add_q_proj").scheme.has_value());
  EXPECT_FALSE(row_of(half, block + "attn.to_out.0").scheme.has_value());
  const Coverage three = cover(named_recipe("int8-level3", *zoo()), *zoo());
  EXPECT_EQ(row_of(three, block + "norm1.linear").how.text(), "smooth=0.8");
  EXPECT_TRUE(row_of(three, "transformer/single_transformer_blocks.3.proj_out").scheme);
  EXPECT_EQ(row_of(three, "transformer/proj_out").reason, "no level takes proj_out");
  EXPECT_EQ(row_of(three, "transformer/norm_out.linear").reason, "no level takes norm_out");
  EXPECT_EQ(row_of(three, "transformer/x_embedder").reason, "no level takes x_embedder");
  EXPECT_EQ(row_of(cover(named_recipe("fp8-level3", *zoo()), *zoo()), block + "norm1.linear")
                .scheme->text(),
            "w=e4m3/*x*/static/f32 a=e4m3/*x*/static/f32");
}

TEST(NamedRecipes, BadNamesAndEmptyLevelsAreRefused) {
  const auto message = [](const char* name) {
    const Error error = error_of([&] { named_recipe(name, *zoo()); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return std::string(error.what());
  };
  EXPECT_NE(message("int8-level5").find("int8-level1 int8-level2 int8-level2.5"),
            std::string::npos);
  EXPECT_NE(message("int8-level1").find("takes convolutions of the transformer"),
            std::string::npos);
  EXPECT_FALSE(names_recipe("my.recipe"));
}

TEST(Pins, KeepBlocksFromBothEnds) {
  const Recipe recipe = Recipe::for_scheme("int8wo", *zoo());
  const Recipe pinned = pin_blocks(recipe, *zoo(), Pins::parse("first=1,last=2"));
  EXPECT_EQ(pinned.text().find("transformer/transformer_blocks.0.*  keep  # pinned, block 1 of 6"),
            0u)
      << pinned.text();
  const Coverage coverage = cover(pinned, *zoo());
  EXPECT_EQ(quantized(coverage), 44 - 12 - 2 * 5);
  EXPECT_EQ(row_of(coverage, "transformer/transformer_blocks.0.attn.to_q").reason,
            "pinned, block 1 of 6");
  EXPECT_EQ(row_of(coverage, "transformer/single_transformer_blocks.2.proj_mlp").reason,
            "pinned, block 5 of 6, 2 from the end");
  EXPECT_TRUE(row_of(coverage, "transformer/single_transformer_blocks.1.proj_mlp").scheme);
}

TEST(Pins, LinesWithNothingLeftToDecideGo) {
  const Recipe recipe = Recipe::parse(
      "transformer/transformer_blocks.0.ff.net.0.proj keep\ntransformer/*.ff.net.* int8wo\n"
      "transformer/typo int8wo\n",
      "r");
  const Recipe pinned = pin_blocks(recipe, *zoo(), Pins::parse("first=1"));
  ASSERT_EQ(pinned.rules.size(), 3u);
  EXPECT_EQ(pinned.rules[1].pattern, "transformer/*.ff.net.*");
  EXPECT_EQ(pinned.rules[2].pattern, "transformer/typo") << "still an error of its writer";
}

TEST(Pins, BadTextsAreRefused) {
  for (const char* text : {"", "first", "first=", "first=0", "first=-1", "first=1,",
                           "first=1,first=2", "middle=1", "last=x", "first=99999999999"}) {
    EXPECT_EQ(error_of([&] { Pins::parse(text); }).code(), ErrorCode::invalid_argument) << text;
  }
  const Recipe recipe = Recipe::for_scheme("int8wo", *zoo());
  const Error error = error_of([&] { pin_blocks(recipe, *zoo(), {3, 3}); });
  EXPECT_NE(std::string(error.what()).find("all 6 blocks"), std::string::npos) << error.what();
}

}  // namespace
}  // namespace octavo
