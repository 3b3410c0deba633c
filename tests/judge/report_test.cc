#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "judge/judge.h"
#include "judge/plot.h"
#include "support.h"

namespace octavo {
namespace {

Report report() {
  Report r;
  r.reference = "ref";
  r.device = "cuda:0 (NVIDIA H200)";
  r.test = "<script>alert(1)</script>";
  r.recipe = "transformer/* int8";
  r.sigmas = {1, 0.5, 0};
  const SampleResult s{"cat & \"dog\"", 3, 40, 0.9, {0.1, 0.2}, {0.1, 0.3}};
  SampleResult floor = s;
  floor.teacher_forced.clear();
  r.sets.push_back({"known", {{"test", {s, s}}, {"noise", {floor, floor}}, {"bf16", {s, s}}}, {}});
  const Tensor picture = test::random_tensor({3, 16, 16}, 4, 0.3f);
  r.sets[0].pictures.push_back({s.prompt, 3, 40, 0.9, picture, picture});
  r.layers.push_back({"transformer", "proj", "quantized_linear", "linear_i8_onednn", "w=i8"});
  return r;
}

TEST(Report, HtmlIsSelfContainedAndEscaped) {
  const std::string html = to_html(report());
  EXPECT_THAT(html, testing::HasSubstr("cat &amp; &quot;dog&quot;"));
  EXPECT_THAT(html, testing::Not(testing::HasSubstr("<script")));
  EXPECT_THAT(html, testing::Not(testing::HasSubstr("http")));
  EXPECT_THAT(html, testing::HasSubstr("data:image/png;base64,iVBORw0KGgo"));
  EXPECT_THAT(html, testing::HasSubstr("Teacher-forced x0 error"));
  EXPECT_THAT(html, testing::HasSubstr("linear_i8_onednn"));
}

TEST(Report, JsonHoldsTheFigures) {
  const auto json = nlohmann::json::parse(to_json(report()));
  EXPECT_EQ(json["sets"][0]["comparisons"].size(), 3u);
  EXPECT_DOUBLE_EQ(json["sets"][0]["comparisons"][0]["psnr"]["mean"], 40);
  EXPECT_EQ(json["sets"][0]["comparisons"][0]["worst_free_running"]["step"], 1);
  EXPECT_TRUE(json["sets"][0]["comparisons"][1]["worst_teacher_forced"].is_null());
  EXPECT_EQ(json["layers"][0]["kernel"], "linear_i8_onednn");
  EXPECT_EQ(json["layers"][0]["precision"], "w=i8");
  EXPECT_EQ(json["device"], "cuda:0 (NVIDIA H200)");
}

TEST(Report, EveryFormSaysWhichKernelRanWhereAndInWhichPrecision) {
  Report r = report();
  r.layers.push_back({"transformer", "up", "quantized_linear", "linear_i8_onednn", "w=i8"});
  r.layers.push_back(
      {"transformer", "attn", "attention", "attention_sm90", "q=bf16 k=bf16 v=bf16"});
  EXPECT_THAT(summary(r), testing::HasSubstr("layers by kernel, on cuda:0 (NVIDIA H200)\n"
                                             "     1  attention_sm90  q=bf16 k=bf16 v=bf16\n"
                                             "     2  linear_i8_onednn  w=i8\n"));
  const std::string html = to_html(r);
  for (const char* part : {"transformer/proj", "transformer/up", "transformer/attn",
                           "linear_i8_onednn", "attention_sm90", "w=i8", "cuda:0 (NVIDIA H200)"}) {
    EXPECT_THAT(html, testing::HasSubstr(part));
  }
}

TEST(Report, SummaryNamesTheVerdict) {
  Report r = report();
  apply_gate(Gate::parse("known psnr.mean >= 41", "g"), r);
  EXPECT_THAT(summary(r), testing::HasSubstr("FAIL  known psnr.mean >= 41"));
  EXPECT_THAT(summary(r), testing::HasSubstr("verdict: failed"));
}

TEST(Plot, NothingToDrawIsNoPicture) {
  EXPECT_EQ(line_plot("t", "x", "y", {{"a", "#000", {}}}), "");
  EXPECT_NE(line_plot("t", "x", "y", {{"a", "#000", {{0, 0, 0}, {1e-3, 1e-4, 1}}}}), "");
}

}  // namespace
}  // namespace octavo
