#include <gtest/gtest.h>

#include <random>

#include "graph_testing.h"

namespace octavo {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

const Dim B = Dim::symbol("B"), H = Dim::symbol("H"), W = Dim::symbol("W");

TEST(Dim, CanonicalText) {
  EXPECT_EQ(Dim(0).text(), "0");
  EXPECT_EQ((H + W).text(), "H + W");
  EXPECT_EQ((W + H), (H + W));
  EXPECT_EQ((Dim(4) * W * H).text(), "4*H*W");
  EXPECT_EQ((H - H).text(), "0");
  EXPECT_TRUE((H - H).is_constant());
  EXPECT_EQ((Dim(0) - H + 3).text(), "-H + 3");
  EXPECT_EQ(((H + 1) * (H - 1)).text(), "H*H - 1");
  EXPECT_EQ(floor_div(H + 1, 2).text(), "floor((H + 1)/2)");
  EXPECT_EQ(floor_div(H, 2).text(), "floor(H/2)");
}

TEST(Dim, FloorQuotientsAreNormalised) {
  EXPECT_EQ(floor_div(Dim(4) * H, 2), Dim(2) * H);
  EXPECT_EQ(floor_div(Dim(5) * H + 7, 2).text(), "2*H + floor((H + 1)/2) + 3");
  EXPECT_EQ(floor_div(Dim(2) * H + 3, 4), floor_div(H + 1, 2));
  EXPECT_EQ(floor_div(floor_div(H, 2), 3), floor_div(H, 6));
  EXPECT_EQ(floor_div(floor_div(H + 1, 2) + 1, 2), floor_div(H + 3, 4));
  EXPECT_EQ(floor_div(H - 2, 2), floor_div(H, 2) - 1);
  EXPECT_EQ(floor_div(Dim(-7), 2).value(), -4);
  EXPECT_EQ(floor_div(Dim(8) * H * W, 8), H * W);
}

TEST(Dim, EvalAndSubstitute) {
  const Dim d = floor_div(H * W + B, 3) * B + 5;
  EXPECT_EQ(d.eval({{"H", 4}, {"W", 5}, {"B", 2}}), 7 * 2 + 5);
  EXPECT_EQ(d.substitute({{"B", 3}}).text(), "3*floor((H*W)/3) + 8");
  EXPECT_EQ((H + W).substitute({{"H", 2}}), W + 2);
  EXPECT_THAT(error_of([&] { d.eval({{"H", 4}, {"B", 2}}); }), HasSubstr("symbol W"));
}

TEST(Dim, ParseRejects) {
  for (const char* text : {"", "+", "H +", "2H", "(H", "H)", "floor(H)", "floor(H/0)", "floor(H/W)",
                           "floor(H + 1/2)", "H / 2", "99999999999999999999", "a b", "floor"}) {
    EXPECT_THAT(error_of([&] { Dim::parse(text); }), HasSubstr("dimension")) << text;
  }
  EXPECT_THAT(error_of([] { Dim::parse("H + ?"); }), HasSubstr("position 5"));
}

TEST(Dim, HostileExpressionsEndInErrors) {
  EXPECT_THAT(error_of([] { Dim(INT64_MAX) + 1; }), HasSubstr("64 bits"));
  EXPECT_THAT(error_of([] { Dim::parse("9223372036854775807 * 2 * H"); }), HasSubstr("64 bits"));
  EXPECT_THAT(error_of([] { Dim(INT64_MIN); }), HasSubstr("64 bits"));
  EXPECT_THAT(error_of([] { Dim::parse(std::string(100000, '(')); }), HasSubstr("nested"));
  std::string nested = "H", power = "H", wide = "1";
  for (int i = 0; i < 100; ++i) nested = "floor((" + nested + " + 1)/3)";
  for (int i = 0; i < 100; ++i) power += "*H";
  for (int i = 0; i < 24; ++i) wide += "*(a" + std::to_string(i) + " + 1)";
  EXPECT_THAT(error_of([&] { Dim::parse(nested); }), HasSubstr("nested"));
  EXPECT_THAT(error_of([&] { Dim::parse(power); }), HasSubstr("factors"));
  EXPECT_THAT(error_of([&] { Dim::parse(wide); }), HasSubstr("terms"));
}

// Random expressions against plain integer arithmetic; the text form reads back the same.
struct Random {
  std::mt19937 engine{7};
  int64_t below(int64_t n) { return static_cast<int64_t>(engine() % static_cast<uint64_t>(n)); }

  // Returns the Dim and its value under `bindings`.
  std::pair<Dim, int64_t> expression(const Bindings& bindings, int depth) {
    if (depth == 0 || below(4) == 0) {
      const int64_t pick = below(4);
      if (pick == 3) return {Dim(pick - 9), pick - 9};
      const char* name = pick == 0 ? "B" : pick == 1 ? "H" : "W";
      return {Dim::symbol(name), bindings.at(name)};
    }
    const auto [a, x] = expression(bindings, depth - 1);
    const auto [b, y] = expression(bindings, depth - 1);
    switch (below(4)) {
      case 0:
        return {a + b, x + y};
      case 1:
        return {a - b, x - y};
      case 2:
        return {a * b, x * y};
      default: {
        const int64_t k = 1 + below(6);
        const int64_t quotient = x / k - (x % k < 0 ? 1 : 0);
        return {floor_div(a, k), quotient};
      }
    }
  }
};

TEST(Dim, AgreesWithIntegers) {
  Random random;
  for (int i = 0; i < 3000; ++i) {
    const Bindings bindings{
        {"B", 1 + random.below(9)}, {"H", random.below(90)}, {"W", random.below(90)}};
    const auto [dim, value] = random.expression(bindings, 4);
    ASSERT_EQ(dim.eval(bindings), value) << dim.text();
    ASSERT_EQ(Dim::parse(dim.text()), dim) << dim.text();
    ASSERT_EQ(Dim::parse(dim.text()).text(), dim.text());
    const Bindings half{{"B", bindings.at("B")}};
    ASSERT_EQ(dim.substitute(half).eval(bindings), value) << dim.text();
  }
}

TEST(Shape, Helpers) {
  EXPECT_EQ(to_string(SymShape{B, H + 1, 64}), "[B, H + 1, 64]");
  EXPECT_EQ(product({B, H, 4}).text(), "4*B*H");
  EXPECT_EQ(evaluate({B, H * 2}, {{"B", 2}, {"H", 3}}), (Shape{2, 6}));
  EXPECT_THAT(error_of([] { evaluate({H - 4}, {{"H", 3}}); }), HasSubstr("becomes -1"));
  EXPECT_TRUE(is_constant(symbolic({1, 2})));
}

}  // namespace
}  // namespace octavo
