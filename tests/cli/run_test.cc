// octavo run and compare on a golden model, through files as a user gives them.
#include <gmock/gmock.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "command.h"
#include "io/safetensors.h"

namespace octavo {
namespace {

using testing::HasSubstr;

// "in.x" of a golden's io file -> "x", "out.sample" -> "sample".
void strip(const std::string& io, const std::string& prefix, const std::string& target) {
  const auto file = SafetensorsFile::open(io);
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, entry] : file->entries())
    if (name.starts_with(prefix)) tensors[name.substr(prefix.size())] = file->tensor(name);
  save_safetensors(target, tensors);
}

// What tests/goldens/README.md derives for a float32 port.
double tolerance(const std::string& folder) {
  const auto json = nlohmann::json::parse(read_file(folder + "/case.json"));
  return 4 * std::max({json["rel_l2_out32"]["sample"].get<double>(),
                       json["rel_l2_wide"]["sample"].get<double>(), 2.5e-7});
}

TEST(CommandRun, FluxGoldenThroughFiles) {
  const test::TempFolder folder;
  const std::string golden = OCTAVO_SOURCE_DIR "/tests/goldens/flux_schnell";
  const std::string in = folder.file("in.safetensors"), out = folder.file("out.safetensors"),
                    want = folder.file("want.safetensors");
  strip(golden + "/io.safetensors", "in.", in);
  strip(golden + "/io.safetensors", "out.", want);
  const auto run = test::octavo("run " + golden + " --inputs " + in + " --outputs " + out);
  ASSERT_EQ(run.code, 0) << run.output;
  const auto same =
      test::octavo(fmt::format("compare {} {} --tolerance {}", want, out, tolerance(golden)));
  EXPECT_EQ(same.code, 0) << same.output;
  const auto strict = test::octavo(fmt::format("compare {} {} --tolerance 1e-12", want, out));
  EXPECT_EQ(strict.code, 1) << strict.output;
}

TEST(CommandRun, TapsAreWritten) {
  const test::TempFolder folder;
  const std::string golden = OCTAVO_SOURCE_DIR "/tests/goldens/flux_schnell";
  const std::string in = folder.file("in.safetensors"), out = folder.file("out.safetensors");
  strip(golden + "/io.safetensors", "in.", in);
  const auto run = test::octavo("run " + golden + " --inputs " + in + " --outputs " + out +
                                " --tap '*.attn.to_q'");
  ASSERT_EQ(run.code, 0) << run.output;
  const auto file = SafetensorsFile::open(out);
  EXPECT_TRUE(file->contains("tap.transformer_blocks.0.attn.to_q"));
  const auto none = test::octavo("run " + golden + " --inputs " + in + " --outputs " + out +
                                 " --tap no.such.value");
  EXPECT_EQ(none.code, 2) << none.output;
  EXPECT_THAT(none.output, HasSubstr("no.such.value"));
}

TEST(CommandRun, WrongInputsAreNamed) {
  const test::TempFolder folder;
  const std::string golden = OCTAVO_SOURCE_DIR "/tests/goldens/flux_schnell";
  const std::string in = folder.file("in.safetensors"), out = folder.file("out.safetensors");
  save_safetensors(in, {{"hidden_state", test::random_tensor({1, 4, 4}, 1)}});
  const auto run = test::octavo("run " + golden + " --inputs " + in + " --outputs " + out);
  EXPECT_EQ(run.code, 2) << run.output;
  EXPECT_THAT(run.output, HasSubstr("hidden_state"));
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(CommandCompare, MissingTensorsFail) {
  const test::TempFolder folder;
  const std::string a = folder.file("a.safetensors"), b = folder.file("b.safetensors");
  const Tensor t = test::random_tensor({4}, 1);
  save_safetensors(a, {{"x", t}, {"y", t}});
  save_safetensors(b, {{"x", t}});
  const auto r = test::octavo("compare " + a + " " + b);
  EXPECT_EQ(r.code, 1);
  EXPECT_THAT(r.output, HasSubstr("only in"));
  EXPECT_EQ(test::octavo("compare " + a + " " + a + " --tolerance 0").code, 0);
}

}  // namespace
}  // namespace octavo
