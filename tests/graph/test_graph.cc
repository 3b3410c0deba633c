#include "graph_testing.h"

namespace octavo {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

constexpr Rate kRates[] = {Rate::model, Rate::request, Rate::schedule, Rate::trajectory,
                           Rate::step};

TEST(Rates, JoinIsUnion) {
  EXPECT_EQ(join(Rate::request, Rate::schedule), Rate::trajectory);
  for (Rate a : kRates) {
    EXPECT_EQ(find_rate(name(a)), a);
    EXPECT_EQ(join(a, Rate::model), a);
    EXPECT_EQ(join(a, Rate::step), Rate::step);
    for (Rate b : kRates) EXPECT_EQ(join(a, b), join(b, a));
  }
  EXPECT_FALSE(find_rate("never"));
}

// x -> linear -> silu, with a prompt's value added.
Graph small() {
  Graph g;
  g.name = "small";
  const ValueId x = g.add_input("x", DType::f32, {Dim::symbol("B"), 64}, Rate::step);
  const ValueId t = g.add_input("t", DType::f32, {8}, Rate::request);
  const ValueId w = g.add_constant("w", Tensor::typed(DType::bf16, {8, 64}));
  const ValueId y = g.add(Op::linear, {x, w}, {}, "proj");
  const ValueId u = g.add(Op::silu, {t}, {}, "act");
  g.add_output("sample", g.add(Op::add, {y, u}, {}, "sum"));
  return g;
}

TEST(Graph, NodesAreTypedRatedAndPadded) {
  const Graph g = small();
  EXPECT_EQ(to_string(g.value(*g.find("sum")).type), "f32[B, 8]");
  EXPECT_EQ(g.value(*g.find("act")).rate, Rate::request);
  EXPECT_EQ(g.value(*g.find("sum")).rate, Rate::step);
  EXPECT_EQ(g.nodes()[0].inputs.size(), 6u);
  EXPECT_EQ(g.nodes()[0].inputs[2], kNoValue);
  EXPECT_THAT(g.symbols(), ElementsAre("B"));
  EXPECT_THAT(g.users(*g.find("proj")), ElementsAre(2));
  EXPECT_TRUE(g.is_output(*g.find("sum")));
  EXPECT_FALSE(g.is_output(*g.find("proj")));
  verify(g, "building");
}

TEST(Graph, AnOpOverConstantsIsConstant) {
  Graph g;
  const ValueId w = g.add_constant("w", Tensor::typed(DType::f32, {8}));
  EXPECT_EQ(g.value(g.add(Op::silu, {w}, {}, "y")).rate, Rate::model);
}

TEST(Graph, TakenNamesGetSuffixes) {
  Graph g;
  const ValueId x = g.add_input("x", DType::f32, {4, 2}, Rate::step);
  const Attrs attrs{{"axes", std::vector<int64_t>{2, 2}}, {"theta", 1e4}};
  const auto first = g.add_multi(Op::rope_table, {x}, attrs, "x");
  const auto second = g.add_multi(Op::rope_table, {x}, attrs, "x");
  EXPECT_EQ(g.value(first[0]).name, "x#2");
  EXPECT_EQ(g.value(first[1]).name, "x#2:1");
  EXPECT_EQ(g.value(second[0]).name, "x#3");
  EXPECT_THAT(error_of([&] { g.add_input("x", DType::f32, {}, Rate::step); }), HasSubstr("'x'"));
}

TEST(Graph, ErrorsNameTheValueAndTheOp) {
  Graph g = small();
  const ValueId x = *g.find("x"), t = *g.find("t");
  EXPECT_THAT(error_of([&] {
                g.add(Op::linear, {x, t}, {}, "blocks.0.ff");
              }),
              HasSubstr("blocks.0.ff = linear: w is f32[8], expected 2 axes"));
  EXPECT_THAT(error_of([&] { g.add_output("sample", x); }), HasSubstr("two outputs"));
}

TEST(Graph, FlopsByRate) {
  const Graph g = parse_graph(R"(graph f {
    input x: f32[B, S, 64] step
    input p: f32[B, T, 64] request
    const w: f32[32, 64]
    const ws: f32[32, 1]
    const wc: i8[32, 64]
    y = linear(x, w)
    q = quantized_linear(x, _, wc, ws) {w_spec = "i8/1x*/static/f32"}
    k = linear(p, w)
    qh = reshape(y) {shape = [B, S, 4, 8]}
    kh = reshape(k) {shape = [B, T, 4, 8]}
    a = attention(qh, kh, kh) {scale = 1.0}
  })");
  const auto flops = flops_by_rate(g);
  const Dim B = Dim::symbol("B"), S = Dim::symbol("S"), T = Dim::symbol("T");
  EXPECT_EQ(flops.at(Rate::step), Dim(2 * 2 * 64 * 32) * B * S + Dim(4 * 32) * B * S * T);
  EXPECT_EQ(flops.at(Rate::request), Dim(2 * 64 * 32) * B * T);
}

TEST(Graph, FlopsOfConvolutions) {
  const Graph g = parse_graph(R"(graph f {
    input x: f32[B, 3, H, W] step
    const w: f32[8, 3, 3, 3]
    const wc: i8[8, 3, 3, 3]
    const ws: f32[8, 1]
    y = conv2d(x, w) {stride = 1, pads = [1, 1, 1, 1]}
    z = quantized_conv2d(x, _, wc, ws)
      {w_spec = "i8/1x*/static/f32", stride = 1, pads = [1, 1, 1, 1]}
  })");
  EXPECT_EQ(flops_by_rate(g).at(Rate::step).text(), "864*B*H*W");
}

TEST(GraphRebuilder, CopiesAndRewrites) {
  const Graph g = small();
  GraphRebuilder same(g);
  for (NodeId n = 0; n < 3; ++n) same.copy(n);
  EXPECT_EQ(to_text(same.finish()), to_text(g));

  GraphRebuilder shorter(g);
  shorter.copy(1);
  shorter.set(*g.find("sum"), shorter.map(*g.find("act")));
  const Graph result = shorter.finish();
  EXPECT_EQ(result.nodes().size(), 1u);
  EXPECT_FALSE(result.find("w")) << "an unused constant";
  EXPECT_TRUE(result.find("x")) << "inputs stay, they are the signature";
  EXPECT_EQ(result.value(result.outputs()[0].value).name, "act");
}

TEST(GraphRebuilder, UseBeforeCopyIsABug) {
  const Graph g = small();
  GraphRebuilder rebuilder(g);
  EXPECT_THAT(error_of([&] { rebuilder.copy(2); }), HasSubstr("'proj' is used before"));
}

}  // namespace
}  // namespace octavo
