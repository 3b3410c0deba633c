// octavo search and explain as users meet them.
#include "base/atomic_file.h"
#include "command.h"
#include "gmock/gmock.h"

namespace octavo {
namespace {

using test::emoji;
using testing::HasSubstr;

class SearchVerb : public testing::Test {
 protected:
  test::CommandResult search(const std::string& arguments) const {
    return test::octavo("search " + emoji() + " -o " + recipe() + " " + arguments);
  }
  std::string recipe() const { return folder_.file("r.recipe"); }
  bool wrote() const { return std::filesystem::exists(recipe()); }

  test::TempFolder folder_;
};

TEST_F(SearchVerb, WrongOptionsAreNamedAtOnce) {
  const struct {
    const char *arguments, *said;
    int code;
  } kCases[] = {
      {"--keep psnr", "psnr>=DB", 2},
      {"--keep 'psnr>=40' --minimize watts", "watts", 2},
      {"--keep 'psnr>=40' --candidates int99", "int99", 2},
      {"--keep 'psnr>=40' --prompts /nowhere/p.txt", "/nowhere/p.txt", 4},
      {"--keep 'psnr>=40' --search-prompts 5000", "different prompts", 2},
      {"--keep 'psnr>=40' --stats /nowhere/s.safetensors", "/nowhere/s.safetensors", 4},
      {"--objective bytes", "--keep", 2},
      {"--objective latency --candidates int8dq", "nothing to choose", 2},
      {"--keep 'psnr>=40' --state /nowhere/s.json", "/nowhere", 4},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.arguments);
    const auto result = search(c.arguments);
    EXPECT_EQ(result.code, c.code) << result.output;
    EXPECT_THAT(result.output, HasSubstr(c.said));
    EXPECT_FALSE(wrote());
    EXPECT_EQ(test::files_in(folder_.path()), 0u);
  }
}

// The fastest kernels, saved and used again: the state's times give the same recipe.
TEST_F(SearchVerb, FastestKernelsAreSavedAndReloaded) {
  const std::string arguments =
      "--objective latency --candidates 'keep, int8dq' --layers "
      "'transformer/single*' --state " +
      folder_.file("s.json") + " --report " + folder_.file("r.html");
  const auto first = search(arguments);
  ASSERT_EQ(first.code, 0) << first.output;
  const std::string made = read_file(recipe());
  EXPECT_THAT(made, HasSubstr("transformer/single_transformer_blocks.0"));
  EXPECT_THAT(read_file(folder_.file("r.html")), HasSubstr("</html>"));
  std::filesystem::remove(recipe());
  EXPECT_EQ(search(arguments).output, first.output);
  EXPECT_EQ(read_file(recipe()), made);
  const auto other = search(
      "--objective latency --candidates 'keep, int8wo' --layers "
      "'transformer/single*' --state " +
      folder_.file("s.json"));
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.output, HasSubstr("another search"));
}

TEST_F(SearchVerb, ExplainOfAnArtifactAlone) {
  const std::string file = folder_.file("a.safetensors");
  ASSERT_EQ(test::octavo("quantize " + emoji() + " --scheme int4wo -o " + file).code, 0);
  const auto alone = test::octavo("explain " + file);
  EXPECT_EQ(alone.code, 0) << alone.output;
  EXPECT_THAT(alone.output, HasSubstr("not known"));
  const auto with =
      test::octavo("explain " + file + " --reference " + emoji() + " -o " + folder_.file("e.html"));
  EXPECT_EQ(with.code, 0) << with.output;
  EXPECT_THAT(read_file(folder_.file("e.html")), HasSubstr("Weight SQNR"));
}

TEST_F(SearchVerb, ExplainOfWhatIsNoArtifact) {
  const auto folder = test::octavo("explain " + emoji());
  EXPECT_EQ(folder.code, 2);
  EXPECT_THAT(folder.output, HasSubstr("model folder"));
  const auto missing = test::octavo("explain /nowhere/a.safetensors");
  EXPECT_EQ(missing.code, 4);
  const auto plain =
      test::octavo("explain " + emoji() + "/vae/diffusion_pytorch_model.safetensors");
  EXPECT_EQ(plain.code, 3) << plain.output;
}

}  // namespace
}  // namespace octavo
