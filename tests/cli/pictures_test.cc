// quantize, generate, judge from end to end, at few steps.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "command.h"
#include "io/png.h"

namespace octavo {
namespace {

using test::emoji;
using testing::HasSubstr;

TEST(CommandGenerate, SameBitsOnAnyThreadCount) {
  const test::TempFolder folder;
  std::string first;
  for (int threads : {1, 2, 3}) {
    const std::string png = folder.file(fmt::format("{}.png", threads));
    const auto r =
        test::octavo(fmt::format("generate {} rocket 'cat face' --steps 2 --seed 7 "
                                 "--grid --threads {} -o {}",
                                 emoji(), threads, png));
    ASSERT_EQ(r.code, 0) << r.output;
    const std::string bytes = read_file(png);
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << threads << " threads";
  }
}

TEST(CommandGenerate, MetadataReproducesThePicture) {
  const test::TempFolder folder;
  const auto r = test::octavo("generate " + emoji() + " pizza dog --steps 2 --seed 4 -o " +
                              folder.file("p.png"));
  ASSERT_EQ(r.code, 0) << r.output;
  const Png second = read_png(folder.file("p-2.png"));
  const auto json = nlohmann::json::parse(second.text.at("octavo"));
  EXPECT_EQ(json["pictures"][0]["prompt"], "dog");
  const auto again =
      test::octavo(fmt::format("generate {} {} --steps {} --seed {} --rng {} -o {}", emoji(),
                               json["pictures"][0]["prompt"].get<std::string>(),
                               json["steps"].get<int>(), json["pictures"][0]["seed"].get<int>(),
                               json["rng"].get<std::string>(), folder.file("again.png")));
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(read_png(folder.file("again.png")).image.rgb, second.image.rgb);
}

TEST(CommandGenerate, RngAndSeedMatter) {
  const test::TempFolder folder;
  const auto make = [&](const std::string& options, const std::string& name) {
    const auto r = test::octavo("generate " + emoji() + " pizza --steps 2 " + options + " -o " +
                                folder.file(name));
    EXPECT_EQ(r.code, 0) << r.output;
    return read_png(folder.file(name)).image.rgb;
  };
  const auto base = make("--seed 1", "a.png");
  EXPECT_NE(make("--seed 2", "b.png"), base);
  EXPECT_NE(make("--seed 1 --rng philox", "c.png"), base);
}

// The artifact written to disk and the scheme applied on the fly are the same model.
TEST(CommandQuantize, ArtifactEqualsOnTheFly) {
  const test::TempFolder folder;
  for (const std::string scheme : {"int8dq", "fp6_e3m2"}) {
    const std::string artifact = folder.file(scheme + ".safetensors");
    const auto q = test::octavo("quantize " + emoji() + " --scheme " + scheme + " -o " + artifact);
    ASSERT_EQ(q.code, 0) << q.output;
    const auto a =
        test::octavo("generate " + artifact + " pizza --steps 2 -o " + folder.file("a.png"));
    ASSERT_EQ(a.code, 0) << a.output;
    const auto b = test::octavo("generate " + emoji() + " pizza --steps 2 --precision " + scheme +
                                " -o " + folder.file("b.png"));
    ASSERT_EQ(b.code, 0) << b.output;
    EXPECT_EQ(read_png(folder.file("a.png")).image.rgb, read_png(folder.file("b.png")).image.rgb);
  }
}

// What a scheme leaves in float is computed as --compute says, and the picture says so.
TEST(CommandGenerate, ComputesAsAsked) {
  const test::TempFolder folder;
  const auto made = [&](const std::string& options) {
    const std::string file = folder.file("p.png");
    const auto r =
        test::octavo("generate " + emoji() + " pizza --steps 2 " + options + " -o " + file);
    EXPECT_EQ(r.code, 0) << r.output;
    return read_png(file);
  };
  const auto plain = made("--precision int8dq"), same = made("--precision int8dq --compute f32");
  const auto bf16 = made("--precision int8dq --compute bf16");
  EXPECT_EQ(plain.image.rgb, same.image.rgb);
  EXPECT_NE(plain.image.rgb, bf16.image.rgb);
  EXPECT_THAT(bf16.text.at("octavo"), HasSubstr("\"compute\":\"bf16\""));
  EXPECT_EQ(made("--precision bf16").image.rgb, made("--compute bf16").image.rgb);
  for (const char* wrong : {"--precision bf16 --compute f32", "--compute f16"}) {
    const auto r =
        test::octavo("generate " + emoji() + " pizza " + wrong + " -o " + folder.file("p.png"));
    EXPECT_EQ(r.code, 2) << r.output;
    EXPECT_THAT(r.output, HasSubstr("compute"));
  }
}

TEST(CommandQuantize, SameBytesOnAnyThreadCount) {
  const test::TempFolder folder;
  std::string first;
  for (int threads : {1, 2, 3}) {
    const std::string out = folder.file(fmt::format("{}.safetensors", threads));
    const auto r = test::octavo(
        fmt::format("quantize {} --scheme int4wo --threads {} -o {}", emoji(), threads, out));
    ASSERT_EQ(r.code, 0) << r.output;
    const std::string bytes = read_file(out);
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << threads << " threads";
  }
}

TEST(CommandJudge, VerdictIsTheExitCode) {
  const test::TempFolder folder;
  const std::string artifact = folder.file("q.safetensors");
  ASSERT_EQ(test::octavo("quantize " + emoji() + " --scheme int4wo -o " + artifact).code, 0);
  write_file(folder.file("easy.gate"), "* psnr.mean >= 1\n");
  write_file(folder.file("hard.gate"), "* psnr.mean >= 90\n");
  const std::string run = "judge " + emoji() + " " + artifact + " --per-set 2 --steps 2 ";
  const auto easy = test::octavo(run + "--gate " + folder.file("easy.gate") + " --json " +
                                 folder.file("r.json") + " --html " + folder.file("r.html"));
  EXPECT_EQ(easy.code, 0) << easy.output;
  EXPECT_EQ(test::octavo(run + "--gate " + folder.file("hard.gate")).code, 1);
  const auto json = nlohmann::json::parse(read_file(folder.file("r.json")));
  ASSERT_EQ(json["sets"].size(), 2u);  // known and novel
  for (const auto& set : json["sets"]) {
    ASSERT_EQ(set["comparisons"].size(), 3u);
    const double test_psnr = set["comparisons"][0]["psnr"]["mean"];
    EXPECT_LT(test_psnr, 60);  // int4 shows
    EXPECT_GT(set["comparisons"][1]["psnr"]["mean"], test_psnr);
    EXPECT_GT(set["comparisons"][2]["psnr"]["mean"], test_psnr);
  }
  EXPECT_THAT(read_file(folder.file("r.html")), HasSubstr("data:image/png;base64,"));
}

TEST(CommandJudge, AModelAgainstItselfIsExact) {
  const test::TempFolder folder;
  const auto r = test::octavo("judge " + emoji() + " " + emoji() +
                              " --per-set 2 --steps 2 --json " + folder.file("r.json"));
  EXPECT_EQ(r.code, 0) << r.output;
  const auto json = nlohmann::json::parse(read_file(folder.file("r.json")));
  for (const auto& set : json["sets"])
    EXPECT_EQ(set["comparisons"][0]["figures"]["x0.free.max"], 0.0);
}

TEST(CommandBench, FiguresAsJson) {
  const test::TempFolder folder;
  const auto r = test::octavo("bench " + emoji() + " --runs 5 --json " + folder.file("b.json"));
  ASSERT_EQ(r.code, 0) << r.output;
  const auto json = nlohmann::json::parse(read_file(folder.file("b.json")));
  EXPECT_GT(json["step"]["median_ms"].get<double>(), 0);
  EXPECT_GT(json["ops"].size(), 3u);
  EXPECT_GT(json["peak_bytes"].get<double>(), 1e7);
}

TEST(CommandInspect, PartsRatesAndCoverage) {
  const auto r = test::octavo("inspect " + emoji() + " --scheme int8");
  ASSERT_EQ(r.code, 0) << r.output;
  for (const char* word : {"FluxTransformer2DModel", "AutoencoderKL", "T5EncoderModel",
                           "trajectory", "saved every step", "44"})
    EXPECT_THAT(r.output, HasSubstr(word));
}

TEST(CommandInspect, AConfigAlone) {
  const auto r = test::octavo("inspect " OCTAVO_SOURCE_DIR "/tests/models/configs/flux1-dev.json");
  ASSERT_EQ(r.code, 0) << r.output;
  EXPECT_THAT(r.output, HasSubstr("11.90 G"));
}

TEST(CommandHelp, EveryVerbTeaches) {
  for (const char* verb :
       {"inspect", "run", "compare", "calibrate", "quantize", "generate", "judge", "bench"}) {
    const auto r = test::octavo(std::string(verb) + " --help");
    EXPECT_EQ(r.code, 0) << verb;
    EXPECT_GT(r.output.size(), 400u) << verb;
  }
  EXPECT_EQ(test::octavo("").code, 2);
  EXPECT_EQ(test::octavo("quantise").code, 2);
}

}  // namespace
}  // namespace octavo
