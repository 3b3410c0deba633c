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
  EXPECT_EQ(third->how.solver, (Solver{"percentile", 99.95, StepMethod::min_mean}));
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
    EXPECT_EQ(again.rules[i].how, recipe.rules[i].how);
    EXPECT_EQ(again.rules[i].note, recipe.rules[i].note);
  }
}

TEST(Recipe, WordsInAnyOrderAreAllKept) {
  const char* const kLine =
      "*  int8 shift=middle smooth=0.8 rotate=64 solver=mse margin=1.1 steps=each low-rank=32 "
      "clip=output round=gptq damping=0.05 sparse=2:4:hessian correct-bias\n";
  const Recipe recipe = Recipe::parse(kLine, "x");
  EXPECT_EQ(recipe.text(), kLine);
  const Recipe shuffled = Recipe::parse(
      "* correct-bias sparse=2:4:hessian damping=0.05 round=gptq clip=output low-rank=32 int8 "
      "steps=each margin=1.1 solver=mse rotate=64 smooth=0.8 shift=middle",
      "x");
  EXPECT_EQ(shuffled.text(), kLine);
  EXPECT_EQ(shuffled.rules[0].how, recipe.rules[0].how);
  const LayerWords& how = recipe.rules[0].how;
  EXPECT_EQ(how.input.shift, InputWords::Shift::middle);
  EXPECT_EQ(how.input.rotation, 64);
  EXPECT_EQ(how.low_rank, 32);
  for (const char* text :
       {"*  int8 shift\n", "*  int8 smooth=auto rotate\n", "*  int8 smooth=rms\n",
        "*  int4wo clip=mse sparse=2:4\n", "*  int8 solver=steps:mean-max:0.5\n"}) {
    EXPECT_EQ(Recipe::parse(text, "x").text(), text);
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
                    Mistake{"* keep solver=mse", "my.recipe:1:", "kept in float"},
                    Mistake{"* int8 smoth=1", "my.recipe:1:", "unknown word 'smoth=1'"},
                    Mistake{"* int8 smooth", "my.recipe:1:", "expected smooth=ALPHA"},
                    Mistake{"* int8 smooth=1.5", "my.recipe:1:", "from 0 to 1"},
                    Mistake{"* int8 rotate=48", "my.recipe:1:", "power of two"},
                    Mistake{"* int8 rotate=", "my.recipe:1:", "rotate=BLOCK"},
                    Mistake{"* int8 shift=min", "my.recipe:1:", "shift=middle"},
                    Mistake{"* int8 low-rank=0", "my.recipe:1:", "from 1"},
                    Mistake{"* int8 round=up", "my.recipe:1:", "round=gptq"},
                    Mistake{"* int8 clip=no", "my.recipe:1:", "clip=output"},
                    Mistake{"* int8 sparse=1:4", "my.recipe:1:", "sparse=2:4"},
                    Mistake{"* int8 correct-bias=1", "my.recipe:1:", "correct-bias"},
                    Mistake{"* int8 shift shift=mean", "my.recipe:1:", "a second shift"},
                    Mistake{"* int8 margin=9", "my.recipe:1:", "from 0.25 to 4"},
                    Mistake{"* int8 damping=0.1", "my.recipe:1:", "damps nothing"},
                    Mistake{"* int8wo steps=each", "my.recipe:1:", "no static activation"},
                    Mistake{"* int8dq margin=1.1", "my.recipe:1:", "no static activation"},
                    Mistake{"* int8 solver=steps:max:1", "my.recipe:1:", "min-mean mean-max"},
                    Mistake{"* int8 solver=steps:min-max:2", "my.recipe:1:", "from 0 to 1"},
                    Mistake{"* int8 solver=steps:min-max:1 shift",
                            "my.recipe:1:", "leave out shift"},
                    Mistake{"* int8 solver=steps:min-max:1 steps=each",
                            "my.recipe:1:", "leave out steps=each"}));

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
