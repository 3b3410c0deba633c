#include "plan/expect_error.h"
#include "plan/plan.h"

namespace octavo {
namespace {

using test::expect_error;

Graph two_inputs() {
  Graph graph;
  const Dim b = Dim::symbol("B"), s = Dim::symbol("S");
  graph.add_input("x", DType::f32, {b, s, 4}, Rate::step);
  graph.add_input("pairs", DType::f32, {Dim(2) * s}, Rate::step);
  graph.add_input("t", DType::f32, {b}, Rate::schedule);
  return graph;
}

TEST(BindInputs, SymbolsComeFromShapes) {
  const Bindings expected{{"B", 3}, {"S", 5}};
  EXPECT_EQ(bind_inputs(two_inputs(), {{"x", {3, 5, 4}}, {"pairs", {10}}, {"t", {3}}}), expected);
  EXPECT_EQ(bind_inputs(two_inputs(), {{"x", {3, 5, 4}}}), expected);  // the others follow
}

TEST(BindInputs, GivenInputsBindWhatTheyCan) {
  EXPECT_EQ(bind_given(two_inputs(), {{"t", {3}}}), (Bindings{{"B", 3}}));
  EXPECT_EQ(bind_given(two_inputs(), {{"pairs", {7}}}), Bindings{});  // nothing to check against
  expect_error(ErrorCode::invalid_argument, {"\"t\"", "0 dimensions", "expected 1"}, [] {
    bind_given(two_inputs(), {{"x", {3, 5, 4}}, {"t", {}}});
  });
}

TEST(BindInputs, ErrorsNameInputDimensionFoundExpected) {
  const auto expect = [](std::initializer_list<std::string> parts,
                         const std::map<std::string, Shape>& shapes) {
    expect_error(ErrorCode::invalid_argument, parts, [&] { bind_inputs(two_inputs(), shapes); });
  };
  expect({"\"y\"", "x, pairs, t"}, {{"y", {1}}});
  expect({"\"x\"", "[3, 5]", "2 dimensions", "expected 3"}, {{"x", {3, 5}}});
  expect({"\"x\"", "dimension 2 is 7", "expected 4"}, {{"x", {3, 5, 7}}});
  expect({"\"x\"", "dimension 0 is 2", "B = 3 as in \"t\""}, {{"x", {2, 5, 4}}, {"t", {3}}});
  expect({"\"pairs\"", "dimension 0 is 9", "2*S = 10"}, {{"x", {3, 5, 4}}, {"pairs", {9}}});
  expect({"\"x\"", "dimension 1 is 0", "at least 1"}, {{"x", {3, 0, 4}}});
  expect({"extent S", "not known"}, {{"t", {3}}});
}

}  // namespace
}  // namespace octavo
