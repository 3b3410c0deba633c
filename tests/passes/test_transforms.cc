// What a quantized layer's input goes through: merged, folded, hoisted, and no obstacle to fusions.
#include <fmt/format.h>

#include <algorithm>

#include "pass_testing.h"
#include "passes/hoist.h"
#include "passes/pipeline.h"

namespace octavo {
namespace {

using testing::expect_rewrite;
using testing::expect_unchanged;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kNorm = R"(graph g {
  input x: f32[B, S, 8] step
  input scale: f32[B, 8] schedule
  input shift: f32[B, 8] schedule
  const mu: f32[8]
  const m: f32[8]
  n = norm_modulate(x, scale, shift) {eps = 1e-6}
  shifted = sub(n, mu)
  y = mul(shifted, m)
  output y = y
})";

TEST(FoldTransformIntoNorm, ShiftThenMultiplier) {
  expect_rewrite(fold_transform_into_norm, kNorm, R"(graph g {
    input x: f32[B, S, 8] step
    input scale: f32[B, 8] schedule
    input shift: f32[B, 8] schedule
    const mu: f32[8]
    const m: f32[8]
    shifted.shift = sub(shift, mu)
    y.shift = mul(shifted.shift, m)
    y.one_plus_scale = affine(scale) {scale = 1, shift = 1}
    y.factor = mul(y.one_plus_scale, m)
    y.scale = affine(y.factor) {scale = 1, shift = -1}
    y = norm_modulate(x, y.scale, y.shift) {eps = 1e-6}
    output y = y
  })");
}

TEST(FoldTransformIntoNorm, NothingIsLeftForTheStep) {
  const StagedGraph stages = hoist(fold_transform_into_norm(parse_graph(kNorm)));
  ASSERT_EQ(stages.step.nodes().size(), 1u);
  EXPECT_EQ(stages.step.nodes()[0].op, Op::norm_modulate);
  EXPECT_TRUE(batch_parallel(stages.schedule, "B"));
}

TEST(FoldTransformIntoNorm, MultiplierOnEitherSide) {
  expect_rewrite(fold_transform_into_norm, R"(graph g {
    input x: f32[B, S, 8] step
    input scale: f32[B, 8] schedule
    input shift: f32[B, 8] schedule
    const m: f32[8]
    n = norm_modulate(x, scale, shift) {eps = 1e-6}
    y = mul(m, n)
    output y = y
  })",
                 R"(graph g {
    input x: f32[B, S, 8] step
    input scale: f32[B, 8] schedule
    input shift: f32[B, 8] schedule
    const m: f32[8]
    y.shift = mul(shift, m)
    y.one_plus_scale = affine(scale) {scale = 1, shift = 1}
    y.factor = mul(y.one_plus_scale, m)
    y.scale = affine(y.factor) {scale = 1, shift = -1}
    y = norm_modulate(x, y.scale, y.shift) {eps = 1e-6}
    output y = y
  })");
}

TEST(FoldTransformIntoNorm, LeavesWhatOthersReadOrWhatIsNoConstant) {
  expect_unchanged(fold_transform_into_norm, R"(graph g {
    input x: f32[B, S, 8] step
    input scale: f32[B, 8] schedule
    input shift: f32[B, 8] schedule
    input by_step: f32[8] step
    const m: f32[8]
    const rows: f32[5, 8]
    n = norm_modulate(x, scale, shift) {eps = 1e-6}
    y = mul(n, m)
    z = silu(n)
    n2 = norm_modulate(x, scale, shift) {eps = 1e-5}
    y2 = mul(n2, by_step)
    n3 = norm_modulate(x, scale, shift) {eps = 1e-4}
    y3 = sub(m, n3)
    output y = y
    output z = z
    output y2 = y2
    output y3 = y3
  })");
}

// The norm as families build it, read by two layers that share transform and scale; the scale is
// that of the present step.
std::string two_layers(bool rotated) {
  std::string text = R"(graph g {
  input x: f32[B, S, 8] step
  input timestep: f32[B] schedule
  input scale: f32[B, 1, 8] trajectory
  input shift: f32[B, 1, 8] trajectory
  const mu: f32[8]
  const m: f32[8]
  const steps: f32[3]
  const values: f32[3, 1]
  const q.w: i8[4, 8]
  const k.w: i8[4, 8]
  const q.ws: f32[4, 1]
  const k.ws: f32[4, 1]
  n = layer_norm(x) {eps = 1e-6}
  f = affine(scale) {scale = 1, shift = 1}
  scaled = mul(n, f)
  modulated = add(scaled, shift)
)";
  for (const char* layer : {"q", "k"}) {
    const std::string last = rotated ? "rotated" : "multiplied";
    text += fmt::format(
        "  {0}.shifted = sub(modulated, mu)\n"
        "  {0}.multiplied = mul({0}.shifted, m)\n"
        "  {0}.rotated = hadamard({0}.multiplied) {{block = 8}}\n"
        "  {0}.of_samples = step_scale(timestep, steps, values)\n"
        "  {0}.present = slice({0}.of_samples) {{axis = 0, begin = 0, end = 1}}\n"
        "  {0}.codes, {0}.scale = quantize({0}.{1}, {0}.present) {{spec = \"i8/*x*/static/f32\"}}\n"
        "  {0}.x = dequantize({0}.codes, {0}.scale) {{spec = \"i8/*x*/static/f32\", shape = [B, S, "
        "8]}}\n"
        "  {0}.dw = dequantize({0}.w, {0}.ws)\n"
        "    {{spec = \"i8/1x*/static/f32\", rows = \"first\", shape = [4, 8]}}\n"
        "  {0} = linear({0}.x, {0}.dw)\n  output {0} = {0}\n",
        layer, last);
  }
  return text + "}";
}

std::vector<Op> ops_of(const Graph& graph) {
  std::vector<Op> ops;
  for (const Node& node : graph.nodes()) ops.push_back(node.op);
  return ops;
}

TEST(Transforms, LayersThatShareAnInputShareItsChain) {
  const StagedGraph stages = hoist(run_passes(parse_graph(two_layers(true))));
  EXPECT_EQ(ops_of(stages.step),
            (std::vector<Op>{Op::norm_modulate, Op::hadamard, Op::slice, Op::quantize,
                             Op::quantized_linear, Op::quantized_linear}))
      << to_text(stages.step);
}

TEST(Transforms, WithoutRotationTheNormWritesCodes) {
  const StagedGraph stages = hoist(run_passes(parse_graph(two_layers(false))));
  EXPECT_EQ(ops_of(stages.step), (std::vector<Op>{Op::slice, Op::norm_modulate,
                                                  Op::quantized_linear, Op::quantized_linear}))
      << to_text(stages.step);
  EXPECT_TRUE(stages.step.nodes()[1].attrs.has("out_spec"));
}

// What only the timestep decides is found for all steps at once; the step takes a row of it.
TEST(Transforms, ScalesOfStepsAreChosenBeforeTheFirstStep) {
  const StagedGraph stages = hoist(run_passes(parse_graph(two_layers(true))));
  EXPECT_EQ(ops_of(stages.schedule), std::vector<Op>{Op::step_scale});
  EXPECT_TRUE(batch_parallel(stages.schedule, "B"));
  EXPECT_TRUE(batch_parallel(stages.trajectory, "B")) << to_text(stages.trajectory);
}

TEST(Transforms, AreTheSameWithoutFusions) {
  PassOptions options;
  options.disabled = {"fold_transform_into_norm", "fuse_norm_modulate"};
  const Graph graph = run_passes(parse_graph(two_layers(true)), options);
  const std::vector<Op> ops = ops_of(graph);
  EXPECT_EQ(std::count(ops.begin(), ops.end(), Op::hadamard), 1);
  EXPECT_EQ(std::count(ops.begin(), ops.end(), Op::sub), 1);
  EXPECT_EQ(std::count(ops.begin(), ops.end(), Op::quantize), 1);
}

// A transform over the concat of attention and MLP: all channels are rotated together, so the
// values are joined, and the chain behind an activation leaves the activation in its product.
TEST(Transforms, OverAConcatAndAnActivation) {
  const Graph graph = run_passes(parse_graph(R"(graph g {
    input x: f32[B, S, 8] step
    const up: f32[8, 8]
    const s: f32[1, 1]
    const mu: f32[16]
    const w: i8[4, 16]
    const ws: f32[4, 1]
    h = linear(x, up)
    act = gelu(h) {approximate = "tanh"}
    both = concat(x, act) {axis = 2}
    shifted = sub(both, mu)
    rotated = hadamard(shifted) {block = 16}
    codes, scale = quantize(rotated, s) {spec = "i8/*x*/static/f32"}
    dx = dequantize(codes, scale) {spec = "i8/*x*/static/f32", shape = [B, S, 16]}
    dw = dequantize(w, ws) {spec = "i8/1x*/static/f32", rows = "first", shape = [4, 16]}
    y = linear(dx, dw)
    output y = y
  })"));
  EXPECT_EQ(ops_of(graph), (std::vector<Op>{Op::linear, Op::concat, Op::sub, Op::hadamard,
                                            Op::quantize, Op::quantized_linear}))
      << to_text(graph);
  EXPECT_EQ(graph.nodes()[0].attrs.get_string("activation"), "gelu_tanh");
}

// h = linear(x, w, b), then what `ops` do with the constants mu and m.
Graph product_with_constants() {
  Graph graph;
  graph.name = "g";
  const ValueId x = graph.add_input("x", DType::f32, {Dim::symbol("B"), Dim(2)}, Rate::step);
  const ValueId w = graph.add_constant("w", Tensor::from({1, 2, 3, 4, 5, 6}, {3, 2}));
  const ValueId b = graph.add_constant("b", Tensor::from({1, 0, -1}, {3}));
  const ValueId mu = graph.add_constant("mu", Tensor::from({10, 20, 30}, {3}));
  const ValueId m = graph.add_constant("m", Tensor::from({2, 1, 0.5f}, {3}));
  const ValueId h = graph.add(Op::linear, {x, w, b}, {}, "h");
  const ValueId shifted = graph.add(Op::sub, {h, mu}, {}, "shifted");
  graph.add_output("y", graph.add(Op::mul, {shifted, m}, {}, "y"));
  return graph;
}

TEST(FoldTransformIntoLinear, IntoWeightAndBias) {
  const Graph graph = fold_transform_into_linear(product_with_constants());
  verify(graph, "the pass");
  ASSERT_EQ(graph.nodes().size(), 1u) << to_text(graph);
  const Node& y = graph.nodes()[0];
  EXPECT_EQ(graph.value(y.outputs[0]).name, "y");
  EXPECT_EQ(graph.value(y.inputs[1]).constant->to_floats(),
            (std::vector<float>{2, 4, 3, 4, 2.5f, 3}));
  EXPECT_EQ(graph.value(y.inputs[2]).constant->to_floats(), (std::vector<float>{-18, -20, -15.5f}));
}

TEST(FoldTransformIntoLinear, AShiftMakesABias) {
  Graph graph;
  graph.name = "g";
  const ValueId x = graph.add_input("x", DType::f32, {Dim::symbol("B"), Dim(2)}, Rate::step);
  const ValueId w = graph.add_constant("w", Tensor::from({1, 2, 3, 4}, {2, 2}));
  const ValueId mu = graph.add_constant("mu", Tensor::from({10, 20}, {2}));
  const ValueId h = graph.add(Op::linear, {x, w}, {}, "h");
  graph.add_output("y", graph.add(Op::sub, {h, mu}, {}, "y"));
  const Graph folded = fold_transform_into_linear(graph);
  ASSERT_EQ(folded.nodes().size(), 1u);
  EXPECT_EQ(folded.value(folded.nodes()[0].inputs[2]).constant->to_floats(),
            (std::vector<float>{-10, -20}));
}

TEST(FoldTransformIntoLinear, LeavesCodesEpiloguesAndOtherReaders) {
  expect_unchanged(fold_transform_into_linear, R"(graph g {
    input x: f32[B, 8] step
    const w: i8[4, 8]
    const ws: f32[4, 1]
    const f: f32[4, 8]
    const m: f32[4]
    q = quantized_linear(x, _, w, ws) {w_spec = "i8/1x*/static/f32"}
    y = mul(q, m)
    h = linear(x, f) {activation = "silu"}
    z = mul(h, m)
    output y = y
    output z = z
  })");
}

}  // namespace
}  // namespace octavo
