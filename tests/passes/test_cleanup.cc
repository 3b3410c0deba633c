// dead_code, common_subexpressions, fold_constants.
#include "pass_testing.h"

namespace octavo {
namespace {

using ::testing::ElementsAre;
using testing::expect_rewrite;
using testing::expect_unchanged;

TEST(DeadCode, KeepsWhatOutputsNeedAndTheSignature) {
  expect_rewrite(dead_code,
                 R"(graph g {
    input x: f32[B, 8] step
    input unused: f32[B] step
    const w: f32[8, 8]
    const v: f32[8, 8]
    a = linear(x, w)
    b = linear(a, v)
    c = silu(a)
    d = silu(b)
    output y = c
  })",
                 R"(graph g {
    input x: f32[B, 8] step
    input unused: f32[B] step
    const w: f32[8, 8]
    a = linear(x, w)
    c = silu(a)
    output y = c
  })");
}

TEST(DeadCode, OneUsedResultKeepsTheNode) {
  expect_unchanged(dead_code, R"(graph g {
    input x: f32[B, 8] step
    q, s = quantize(x) {spec = "i8/1x*/dynamic/f32"}
    output s = s
  })");
}

TEST(CommonSubexpressions, MergesEqualNodesInChains) {
  expect_rewrite(common_subexpressions,
                 R"(graph g {
    input x: f32[B, 8] step
    a = silu(x)
    b = silu(x)
    c = affine(a) {scale = 1, shift = 2}
    d = affine(b) {scale = 1, shift = 2}
    e = affine(b) {scale = 1, shift = 3}
    f = add(c, d)
    g = add(f, e)
    output y = g
  })",
                 R"(graph g {
    input x: f32[B, 8] step
    a = silu(x)
    c = affine(a) {scale = 1, shift = 2}
    e = affine(a) {scale = 1, shift = 3}
    f = add(c, c)
    g = add(f, e)
    output y = g
  })");
}

TEST(CommonSubexpressions, OutputsKeepTheirValues) {
  expect_unchanged(common_subexpressions, R"(graph g {
    input x: f32[B, 8] step
    a = silu(x)
    b = silu(x)
    output a = a
    output b = b
  })");
}

// Three layers that read x: one static scale each, with equal bytes for two of them.
TEST(CommonSubexpressions, QuantizeNodesWithEqualScalesMerge) {
  Graph g;
  const ValueId x = g.add_input("x", DType::f32, {Dim::symbol("B"), 8}, Rate::step);
  const std::vector<float> scales{0.5f, 0.5f, 0.25f};
  for (size_t i = 0; i < scales.size(); ++i) {
    const std::string name = "q" + std::to_string(i);
    const ValueId s = g.add_constant(name + ".scale", Tensor::from({scales[i]}, {1, 1}));
    const auto q =
        g.add_multi(Op::quantize, {x, s}, {{"spec", std::string("i8/*x*/static/f32")}}, name);
    const Attrs back{{"spec", std::string("i8/*x*/static/f32")},
                     {"shape", SymShape{Dim::symbol("B"), 8}}};
    g.add_output("y" + std::to_string(i), g.add(Op::dequantize, q, back, name + ".back"));
  }
  const Graph merged = common_subexpressions(g);
  verify(merged, "merging");
  EXPECT_EQ(merged.nodes().size(), 5u);
  EXPECT_TRUE(merged.find("q0"));
  EXPECT_FALSE(merged.find("q1")) << "equal scale";
  EXPECT_TRUE(merged.find("q2")) << "another scale";
  EXPECT_FALSE(merged.find("q1.scale"));
}

TEST(CommonSubexpressions, ConstantsWithoutDataOrLargeOnesStay) {
  constexpr int64_t kLarge = 1 << 15;
  Graph g;
  const ValueId x = g.add_input("x", DType::f32, {kLarge}, Rate::step);
  ValueId y = x;
  for (const char* name : {"w0", "w1"}) {
    y = g.add(Op::add, {y, g.add_constant(name, Tensor::zeros(DType::f32, {kLarge}))}, {}, name);
  }
  for (const char* name : {"v0", "v1"}) {
    y = g.add(Op::add, {y, g.add_constant(name, Tensor::typed(DType::f32, {1}))}, {}, name);
  }
  g.add_output("y", y);
  const Graph merged = common_subexpressions(g);
  for (const char* name : {"w0", "w1", "v0", "v1"}) EXPECT_TRUE(merged.find(name)) << name;
}

// Records what is folded and returns zeros.
struct Folder {
  std::vector<std::string> folded;
  Graph operator()(const Graph& graph) {
    folded.clear();
    return fold_constants(
        graph, [this](const Graph& g, const Node& node, const std::vector<Tensor>& inputs) {
          EXPECT_EQ(inputs.size(), node.inputs.size());
          folded.push_back(g.value(node.outputs[0]).name);
          std::vector<Tensor> results;
          for (ValueId id : node.outputs) {
            const ValueType& type = g.value(id).type;
            results.push_back(Tensor::zeros(type.dtype, evaluate(type.shape, {})));
          }
          return results;
        });
  }
};

Graph with_constants(std::function<void(Graph&)> body) {
  Graph g;
  g.add_input("x", DType::f32, {8}, Rate::step);
  body(g);
  return g;
}

TEST(FoldConstants, FoldsChains) {
  Folder fold;
  const Graph g = with_constants([](Graph& b) {
    const ValueId w = b.add_constant("w", Tensor::zeros(DType::f32, {8}));
    const ValueId v = b.add(Op::silu, {b.add(Op::silu, {w}, {}, "s")}, {}, "t");
    b.add_output("y", b.add(Op::add, {*b.find("x"), v}, {}, "sum"));
  });
  const Graph result = fold(g);
  verify(result, "folding");
  EXPECT_THAT(fold.folded, ElementsAre("s", "t"));
  EXPECT_EQ(result.nodes().size(), 1u);
  EXPECT_TRUE(result.value(*result.find("t")).constant.has_value());
  EXPECT_FALSE(result.find("w"));
}

TEST(FoldConstants, LeavesWeightsCompressedAndLargeResultsLazy) {
  Folder fold;
  const Graph g = with_constants([](Graph& b) {
    const std::string spec = "i8/1x*/static/f32";
    const ValueId w = b.add_constant("w", Tensor::zeros(DType::i8, {8, 8}));
    const ValueId s = b.add_constant("s", Tensor::zeros(DType::f32, {8, 1}));
    b.add_output("d",
                 b.add(Op::dequantize, {w, s}, {{"spec", spec}, {"shape", SymShape{8, 8}}}, "d"));
    const ValueId row = b.add_constant("row", Tensor::zeros(DType::f32, {1024}));
    b.add_output("many", b.add(Op::expand, {row}, {{"shape", SymShape{1024, 1024}}}, "many"));
    b.add_output("few", b.add(Op::expand, {row}, {{"shape", SymShape{16, 1024}}}, "few"));
    b.add_output("any",
                 b.add(Op::expand, {row}, {{"shape", SymShape{Dim::symbol("B"), 1024}}}, "any"));
    const ValueId large = b.add_constant("large", Tensor::zeros(DType::f32, {1024, 512}));
    b.add_output("twice", b.add(Op::concat, {large, large}, {{"axis", int64_t{0}}}, "twice"));
    const ValueId hollow = b.add_constant("hollow", Tensor::typed(DType::f32, {8}));
    b.add_output("none", b.add(Op::silu, {hollow}, {}, "none"));
  });
  verify(fold(g), "folding");
  EXPECT_THAT(fold.folded, ElementsAre("few", "twice"));
}

TEST(FoldConstants, ModelRateInputsAreNotConstants) {
  Folder fold;
  Graph g;
  g.add_output("y", g.add(Op::silu, {g.add_input("x", DType::f32, {8}, Rate::model)}, {}, "y"));
  fold(g);
  EXPECT_TRUE(fold.folded.empty());
}

}  // namespace
}  // namespace octavo
