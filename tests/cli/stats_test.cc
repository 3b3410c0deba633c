// octavo stats show, diff and merge on what calibrate writes.
#include <gmock/gmock.h>

#include "base/atomic_file.h"
#include "command.h"
#include "io/safetensors.h"

namespace octavo {
namespace {

namespace fs = std::filesystem;
using test::emoji;
using testing::HasSubstr;
using testing::Not;

// Calibrations at few steps, made once: a, b and c of one prompt each, `all` of the three; `steps`
// has a denoising loop.
class StatsVerb : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    made_ = new test::TempFolder;
    const std::vector<std::string> prompts{"rocket", "pizza", "cat face"};
    std::string lines;
    for (size_t i = 0; i < prompts.size(); ++i) {
      calibrate(kSingle[i], prompts[i], fmt::format("--component text_encoder --seed {}", i));
      lines += prompts[i] + "\n";
    }
    calibrate("all", lines, "--component text_encoder");
    calibrate("steps", "dog", "--component transformer --rows 2 --moment-stride 0", 2);
  }
  static void TearDownTestSuite() { delete made_; }

  static void calibrate(const std::string& name, const std::string& prompts,
                        const std::string& options, int steps = 1) {
    write_file(made(name + ".txt"), prompts);
    const auto r =
        test::octavo(fmt::format("calibrate {} --prompts {} --steps {} {} -o {}", emoji(),
                                 made(name + ".txt"), steps, options, made(name)));
    ASSERT_EQ(r.code, 0) << r.output;
  }
  static std::string made(const std::string& name) { return made_->file(name); }
  static test::CommandResult stats(const std::string& arguments) {
    return test::octavo("stats " + arguments);
  }
  // Every verb that reads `file` refuses it with `words`, and merge leaves nothing.
  void expect_refused(const std::string& file, int code, const std::vector<std::string>& words) {
    const std::string out = folder_.file("out");
    for (const std::string& arguments :
         {"show " + file, "diff " + file + " " + made("a"), "diff " + made("a") + " " + file,
          "merge " + made("a") + " " + file + " -o " + out,
          "merge " + file + " " + made("a") + " -o " + out}) {
      const auto r = stats(arguments);
      EXPECT_EQ(r.code, code) << arguments << "\n" << r.output;
      EXPECT_THAT(r.output, HasSubstr("octavo: error: "));
      for (const std::string& word : words) EXPECT_THAT(r.output, HasSubstr(word)) << arguments;
    }
    EXPECT_FALSE(fs::exists(out));
  }
  // A copy of `name` with `from` in its metadata replaced.
  std::string with_metadata(const std::string& name, const std::string& from,
                            const std::string& to) {
    const auto file = SafetensorsFile::open(made(name));
    std::map<std::string, Tensor> tensors;
    for (const auto& [tensor, entry] : file->entries()) tensors[tensor] = file->tensor(tensor);
    auto metadata = file->metadata();
    std::string& text = metadata.at("octavo.stats");
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from << " in\n" << text;
    text.replace(at, from.size(), to);
    save_safetensors(folder_.file("changed"), tensors, metadata);
    return folder_.file("changed");
  }

  static constexpr const char* kSingle[] = {"a", "b", "c"};
  static inline test::TempFolder* made_ = nullptr;
  test::TempFolder folder_;
};

TEST_F(StatsVerb, ShowsLayersAndSteps) {
  const auto all = stats("show " + made("steps"));
  ASSERT_EQ(all.code, 0) << all.output;
  for (const char* word : {"1 prompts", "99.99 %", "transformer/transformer_blocks.0.attn.to_q",
                           "transformer/single_transformer_blocks.0.proj_mlp"}) {
    EXPECT_THAT(all.output, HasSubstr(word));
  }
  EXPECT_THAT(all.output, Not(HasSubstr("step    0:")));
  const auto some = stats("show " + made("steps") + " --layer '*blocks.0.attn.to_q' --steps");
  ASSERT_EQ(some.code, 0) << some.output;
  for (const char* word : {"transformer/transformer_blocks.0.attn.to_q",
                           "step    0: ", "step    1: ", " 2 rows, 0 not finite"}) {
    EXPECT_THAT(some.output, HasSubstr(word));
  }
  EXPECT_THAT(some.output, Not(HasSubstr("proj_mlp")));
}

TEST_F(StatsVerb, DiffOfOneFileIsZero) {
  const auto same = stats("diff " + made("a") + " " + made("a") + " --tolerance 0 --most 1");
  EXPECT_EQ(same.code, 0) << same.output;
  EXPECT_THAT(same.output, HasSubstr("layers more"));
  EXPECT_THAT(same.output, Not(HasSubstr("TOO LARGE")));
}

TEST_F(StatsVerb, DiffMeasuresAndJudges) {
  const std::string both = "diff " + made("a") + " " + made("b");
  const auto any = stats(both);
  EXPECT_EQ(any.code, 0) << any.output;
  EXPECT_THAT(any.output, HasSubstr("SelfAttention"));
  EXPECT_EQ(stats(both + " --tolerance 1000").code, 0);
  const auto strict = stats(both + " --tolerance 1e-6");
  EXPECT_EQ(strict.code, 1) << strict.output;
  EXPECT_THAT(strict.output, HasSubstr("TOO LARGE"));
  const auto none = stats(both + " --layer 'no.such.*'");
  EXPECT_EQ(none.code, 2) << none.output;
  EXPECT_THAT(none.output, HasSubstr("'no.such.*'"));
}

TEST_F(StatsVerb, DiffNamesLayersOfOneFile) {
  const auto r = stats("diff " + made("a") + " " + made("steps") + " --most 1000");
  EXPECT_EQ(r.code, 1) << r.output;
  for (const char* word : {"schedules differ", "only in a", "only in b"}) {
    EXPECT_THAT(r.output, HasSubstr(word));
  }
  const auto models = stats("diff " + made("a") + " " +
                            with_metadata("a", "\"model_hash\":\"", "\"model_hash\":\"0"));
  EXPECT_EQ(models.code, 0) << models.output;
  EXPECT_THAT(models.output, HasSubstr("models differ"));
}

// In any order and grouping, to the byte of a calibration on all prompts at once.
TEST_F(StatsVerb, MergesToTheSameBytesInAnyOrder) {
  const std::string whole = read_file(made("all"));
  for (const char* order : {"abc", "bca", "cba"}) {
    std::string arguments = "merge";
    for (const char* one = order; *one != '\0'; ++one) arguments += " " + made({*one});
    const auto r = stats(arguments + " -o " + folder_.file(order));
    ASSERT_EQ(r.code, 0) << r.output;
    EXPECT_THAT(r.output, HasSubstr("3 prompts"));
    EXPECT_TRUE(read_file(folder_.file(order)) == whole) << order;
  }
  const std::string ca = folder_.file("ca");
  ASSERT_EQ(stats("merge " + made("c") + " " + made("a") + " -o " + ca).code, 0);
  EXPECT_FALSE(read_file(ca) == whole);
  const auto last = stats("merge " + ca + " " + made("b") + " -o " + ca);  // over what it reads
  ASSERT_EQ(last.code, 0) << last.output;
  EXPECT_TRUE(read_file(ca) == whole);
}

TEST_F(StatsVerb, MergeRefusesWhatDoesNotBelongTogether) {
  const std::string out = folder_.file("out");
  const auto refused = [&](const std::string& other, const std::vector<std::string>& words) {
    const auto r = stats("merge " + made("b") + " " + other + " -o " + out);
    EXPECT_EQ(r.code, 2) << r.output;
    EXPECT_THAT(r.output, HasSubstr(other));
    for (const std::string& word : words) EXPECT_THAT(r.output, HasSubstr(word));
    EXPECT_FALSE(fs::exists(out));
  };
  refused(made("b"), {"'1:pizza'", "count twice"});
  refused(made("steps"), {"schedule"});
  refused(with_metadata("a", "\"model_hash\":\"", "\"model_hash\":\"0"), {"model 0"});
  refused(with_metadata("a", "\"moment_stride\":16", "\"moment_stride\":4"), {"one row in 4"});
  const std::string unfinished = R"("unfinished":{"memory":1,"pass":0,"prompts":[]},"layers")";
  refused(with_metadata("a", "\"layers\"", unfinished), {"unfinished"});
  EXPECT_EQ(stats("merge " + made("a") + " -o " + out).code, 2);
  const auto nowhere = stats("merge " + made("a") + " " + made("b") + " -o /nowhere/s");
  EXPECT_EQ(nowhere.code, 4) << nowhere.output;
  EXPECT_THAT(nowhere.output, HasSubstr("/nowhere"));
}

TEST_F(StatsVerb, RefusesWhatIsNoStatsFile) {
  expect_refused(folder_.file("missing"), 4, {"missing"});
  write_file(folder_.file("text"), "these are no statistics at all\n");
  expect_refused(folder_.file("text"), 3, {folder_.file("text")});
  write_file(folder_.file("empty"), "");
  expect_refused(folder_.file("empty"), 3, {folder_.file("empty")});
  expect_refused(emoji() + "/vae/diffusion_pytorch_model.safetensors", 3,
                 {"vae/diffusion_pytorch_model.safetensors", "octavo calibrate"});
}

TEST_F(StatsVerb, RefusesTruncatedAndChangedFiles) {
  const std::string cut = folder_.file("cut");
  for (const size_t left : {fs::file_size(made("a")) - 1, fs::file_size(made("a")) / 2, size_t{100},
                            size_t{8}, size_t{3}}) {
    fs::copy_file(made("a"), cut, fs::copy_options::overwrite_existing);
    fs::resize_file(cut, left);
    expect_refused(cut, 3, {cut});
  }
  expect_refused(with_metadata("a", "\"format_version\":2", "\"format_version\":3"), 3,
                 {"changed", "format_version 3", "reads 2"});
}

}  // namespace
}  // namespace octavo
