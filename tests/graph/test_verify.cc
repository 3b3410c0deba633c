// The verifier on graphs broken by hand.
#include "graph_testing.h"

namespace octavo {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

Graph sound() {
  return parse_graph(R"(graph g {
    input x: f32[B, 8] step
    const w: f32[8, 8]
    a = linear(x, w)
    b = silu(a)
    c = add(a, b)
    output y = c
  })");
}

std::string complaint(const Graph& g) {
  return error_of([&] { verify(g, "breaking"); });
}

TEST(Verify, SoundGraphPasses) { EXPECT_NO_THROW(verify(sound(), "nothing")); }

TEST(Verify, NamesTheStepAndTheGraph) {
  Graph g = sound();
  g.mutable_value(*g.find("b")).type.dtype = DType::bf16;
  EXPECT_THAT(complaint(g), HasSubstr("after breaking: graph 'g': b = silu"));
}

TEST(Verify, Types) {
  Graph g = sound();
  g.mutable_value(*g.find("a")).type.shape[0] = 4;
  EXPECT_THAT(complaint(g), HasSubstr("'a' is typed f32[4, 8], but the op gives f32[B, 8]"));
  g = sound();
  g.mutable_value(*g.find("w")).type.shape[0] = 4;
  EXPECT_THAT(complaint(g), HasSubstr("constant 'w' is typed f32[4, 8]"));
  g = sound();
  g.mutable_value(*g.find("x")).type.shape[1] = 9;
  EXPECT_THAT(complaint(g), HasSubstr("the last axes differ"));
  g = sound();
  g.mutable_value(*g.find("x")).type.shape[0] = -1;
  EXPECT_THAT(complaint(g), HasSubstr("'x' is f32[-1, 8]"));
}

TEST(Verify, Rates) {
  Graph g = sound();
  g.mutable_value(*g.find("b")).rate = Rate::request;
  EXPECT_THAT(complaint(g), HasSubstr("'b' has rate request, but its operands give step"));
}

TEST(Verify, OrderAndOperands) {
  Graph g = sound();
  std::swap(g.mutable_nodes()[0], g.mutable_nodes()[1]);
  EXPECT_THAT(complaint(g), HasSubstr("before it is defined"));
  g = sound();
  g.mutable_nodes()[1].inputs[0] = 99;
  EXPECT_THAT(complaint(g), HasSubstr("before it is defined"));
  g = sound();
  g.mutable_nodes()[0].inputs.pop_back();
  EXPECT_THAT(complaint(g), HasSubstr("has 5 operands, expected 6"));
  g = sound();
  g.mutable_nodes()[2].inputs[1] = kNoValue;
  EXPECT_THAT(complaint(g), HasSubstr("operand 1 is absent"));
}

TEST(Verify, Results) {
  Graph g = sound();
  g.mutable_nodes()[1].outputs.push_back(*g.find("c"));
  EXPECT_THAT(complaint(g), HasSubstr("has 2 results, expected 1"));
  g = sound();
  g.mutable_nodes()[2].outputs[0] = *g.find("b");
  EXPECT_THAT(complaint(g), HasSubstr("'b' has two sources"));
  g = sound();
  g.mutable_nodes().pop_back();
  EXPECT_THAT(complaint(g), HasSubstr("'c' is neither an input"));
  g = sound();
  g.mutable_value(*g.find("c")).producer = 0;
  EXPECT_THAT(complaint(g), HasSubstr("another producer"));
}

TEST(Verify, Names) {
  Graph g = sound();
  g.mutable_value(*g.find("b")).name = "a";
  EXPECT_THAT(complaint(g), HasSubstr("not found by its name 'a'"));
}

TEST(Verify, Attributes) {
  Graph g = sound();
  g.mutable_nodes()[1].attrs.set("eps", 1e-6);
  EXPECT_THAT(complaint(g), HasSubstr("silu has no attribute 'eps'"));
  g = sound();
  g.mutable_nodes()[0].attrs.set("out_spec", std::string("i8/1x*/dynamic/f32"));
  EXPECT_THAT(complaint(g), HasSubstr("has 1 results, expected 2"));
}

}  // namespace
}  // namespace octavo
