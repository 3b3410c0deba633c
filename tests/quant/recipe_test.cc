#include "quant/recipe.h"

#include "support.h"

namespace octavo {
namespace {

using test::error_of;

TEST(Recipe, FirstMatchWins) {
  const Recipe recipe = Recipe::parse(
      "# which layers\n"
      "\n"
      "transformer/blocks.0.*   keep   # the first is touchy\n"
      "\ttransformer/*.to_?\tint8dq\r\n"
      "transformer/* w=i8/1x*/static/f32   a=i8/*x*/static/f32 solver=percentile:99.95\n"
      "vae/*.conv1 fp8wo",
      "x.recipe");
  ASSERT_EQ(recipe.rules.size(), 4u);
  const RecipeRule* first = recipe.match("transformer/blocks.0.to_q");
  ASSERT_NE(first, nullptr);
  EXPECT_FALSE(first->scheme.has_value());
  EXPECT_EQ(first->note, "the first is touchy");
  EXPECT_EQ(first->line, 3);
  EXPECT_EQ(recipe.match("transformer/blocks.1.to_q")->scheme, find_scheme("int8dq"));
  const RecipeRule* third = recipe.match("transformer/blocks.1.to_out");
  EXPECT_EQ(third->scheme, find_scheme("int8"));
  EXPECT_EQ(third->solver, (Solver{"percentile", 99.95}));
  EXPECT_EQ(recipe.match("vae/decoder.conv1")->line, 6);
  EXPECT_EQ(recipe.match("vae/decoder.conv2"), nullptr);
}

TEST(Recipe, TextParsesToTheSameRules) {
  const Recipe recipe = Recipe::parse(
      "a/* keep # why\n# lost\nb/? int4wo\nc/* int8 solver=mse\nd w=i4/1x128/static/f16/zp\n"
      "e int8 solver=percentile:99.9",
      "x");
  const std::string text = recipe.text();
  EXPECT_EQ(text,
            "a/*  keep  # why\nb/?  int4wo\nc/*  int8 solver=mse\n"
            "d  w=i4/1x128/static/f16/zp\ne  int8 solver=percentile:99.9\n");
  const Recipe again = Recipe::parse(text, "x");
  EXPECT_EQ(again.text(), text);
  ASSERT_EQ(again.rules.size(), recipe.rules.size());
  for (size_t i = 0; i < again.rules.size(); ++i) {
    EXPECT_EQ(again.rules[i].scheme, recipe.rules[i].scheme);
    EXPECT_EQ(again.rules[i].solver, recipe.rules[i].solver);
    EXPECT_EQ(again.rules[i].note, recipe.rules[i].note);
  }
}

TEST(Recipe, EveryNamedSchemeParses) {
  for (const NamedScheme& row : scheme_table()) {
    const Recipe recipe = Recipe::parse("* " + row.name, "x");
    EXPECT_EQ(recipe.match("anything")->scheme, row.scheme) << row.name;
  }
}

struct Mistake {
  const char *text, *place, *word;
};

class RecipeMistakes : public testing::TestWithParam<Mistake> {};

TEST_P(RecipeMistakes, AreNamedWithFileAndLine) {
  const Mistake& m = GetParam();
  const Error error = error_of([&] { Recipe::parse(m.text, "my.recipe"); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(std::string(error.what()).find(m.place), std::string::npos) << error.what();
  EXPECT_NE(std::string(error.what()).find(m.word), std::string::npos) << error.what();
}

INSTANTIATE_TEST_SUITE_P(
    Lines, RecipeMistakes,
    testing::Values(Mistake{"* int8\na/*\n", "my.recipe:2:", "'a/*' has no scheme"},
                    Mistake{"* in8\n", "my.recipe:1:", "unknown scheme 'in8'"},
                    Mistake{"\n\n* keep it", "my.recipe:3:", "unknown scheme 'keep it'"},
                    Mistake{"* int8 a=i8/*x*/static/f32", "my.recipe:1:", "int8 a=i8"},
                    Mistake{"* w=i9/1x*/static/f32", "my.recipe:1:", "format 'i9'"},
                    Mistake{"* w=i8/1x*/dynamic/f32", "my.recipe:1:", "weight's scale is static"},
                    Mistake{"* int8 solver=best", "my.recipe:1:", "unknown solver 'best'"},
                    Mistake{"* int8 solver=percentile", "my.recipe:1:", "needs a percent"},
                    Mistake{"* int8 solver=percentile:101", "my.recipe:1:", "from 50 to 100"},
                    Mistake{"* int8 solver=percentile:nan", "my.recipe:1:", "from 50 to 100"},
                    Mistake{"* int8 solver=absmax:3", "my.recipe:1:", "takes no parameter"},
                    Mistake{"* int8 solver=mse solver=mse", "my.recipe:1:", "second solver"},
                    Mistake{"* int8wo solver=mse", "my.recipe:1:", "no static activation"},
                    Mistake{"* keep solver=mse", "my.recipe:1:", "no static activation"}));

TEST(Recipe, TextThatIsNone) {
  EXPECT_NE(std::string(error_of([] { Recipe::parse(std::string("* int8\n\0", 8), "b"); }).what())
                .find("b:2: a zero byte"),
            std::string::npos);
  EXPECT_NE(std::string(error_of([] { Recipe::parse("* \xff\n", "b"); }).what()).find("b:1:"),
            std::string::npos);
  EXPECT_NE(std::string(error_of([] { Recipe::parse(std::string(5000, 'a'), "b"); }).what())
                .find("5000 bytes in one line"),
            std::string::npos);
  EXPECT_TRUE(Recipe::parse("", "b").rules.empty());
}

}  // namespace
}  // namespace octavo
