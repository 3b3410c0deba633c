#include <gmock/gmock.h>

#include "judge/judge.h"
#include "judge/statistics.h"
#include "support.h"

namespace octavo {
namespace {

Comparison comparison(const std::string& name, const std::vector<double>& psnrs) {
  Comparison c{name, {}};
  for (size_t i = 0; i < psnrs.size(); ++i)
    c.samples.push_back({"prompt " + std::to_string(i),
                         i,
                         psnrs[i],
                         0.95,
                         {0.1, 0.2 + 0.01 * static_cast<double>(i)},
                         {0.3, 0.4}});
  return c;
}

Report report() {
  Report r;
  r.sets.push_back({"known", {comparison("test", {40, 42}), comparison("noise", {60, 62})}, {}});
  r.sets.push_back({"novel", {comparison("test", {30, 34}), comparison("noise", {50, 52})}, {}});
  return r;
}

std::string error_of(const std::string& text) {
  try {
    Gate::parse(text, "my.gate");
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Gate, RulesApplyToTheirSet) {
  Report r = report();
  apply_gate(Gate::parse("known psnr.mean >= 41\nnovel psnr.mean >= 33 # too much\n", "g"), r);
  ASSERT_EQ(r.gates.size(), 2u);
  EXPECT_TRUE(r.gates[0].passed);
  EXPECT_FALSE(r.gates[1].passed);
  EXPECT_DOUBLE_EQ(r.gates[1].found, 32);
  EXPECT_FALSE(r.passed());
}

TEST(Gate, StarAppliesToEverySet) {
  Report r = report();
  apply_gate(Gate::parse("* x0.teacher.max <= 0.25", "g"), r);
  ASSERT_EQ(r.gates.size(), 2u);
  EXPECT_TRUE(r.passed());
}

TEST(Gate, AnUnknownSetIsAnErrorNotAPass) {
  Report r = report();
  EXPECT_THROW(apply_gate(Gate::parse("nowhere psnr.mean >= 1", "g"), r), Error);
}

TEST(Gate, ErrorsNameFileLineAndWord) {
  EXPECT_THAT(error_of("known psnr.mean >= 1\nknown psnr >= 1"),
              testing::AllOf(testing::HasSubstr("my.gate:2"), testing::HasSubstr("'psnr'"),
                             testing::HasSubstr("psnr.mean")));
  EXPECT_THAT(error_of("known psnr.mean > 1"), testing::HasSubstr("'>'"));
  EXPECT_THAT(error_of("known psnr.mean >= many"), testing::HasSubstr("'many'"));
  EXPECT_THAT(error_of("known psnr.mean 4"), testing::HasSubstr("3 words"));
  EXPECT_THAT(error_of("# nothing\n"), testing::HasSubstr("without rules"));
}

TEST(Statistics, PsnrOfTheMeanErrorWeighsBadPictures) {
  const Comparison c = comparison("test", {20, 40});
  EXPECT_NEAR(psnr_of_mean_error(c), 10 * std::log10(4 / ((0.04 + 0.0004) / 2)), 1e-9);
  EXPECT_DOUBLE_EQ(median({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(median({4, 1, 2, 3}), 2.5);
}

TEST(Statistics, WorstStepIsNamed) {
  const Worst worst = worst_step(comparison("test", {40, 41, 42}), true);
  EXPECT_EQ(worst.step, 1);
  EXPECT_EQ(worst.prompt, "prompt 2");
  EXPECT_NEAR(worst.error, 0.22, 1e-12);
}

TEST(Statistics, EveryFigureHasAValue) {
  for (const std::string& name : figure_names())
    EXPECT_GT(figure(comparison("test", {40, 42}), name), 0) << name;
  EXPECT_THROW(figure(comparison("test", {40}), "psnr"), Error);
}

}  // namespace
}  // namespace octavo
