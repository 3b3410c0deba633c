#include <cstdlib>

#include "pass_testing.h"
#include "passes/pipeline.h"

namespace octavo {
namespace {

using testing::error_of;
using testing::expect_rewrite;
using ::testing::HasSubstr;

Graph all_passes(const Graph& graph) { return run_passes(graph); }

// A block's feed-forward half in QDQ form, as models emit it: three dequantized layers over one
// modulated norm, a GELU between two, a gated residual.
constexpr const char* kBlock = R"(graph block {
  input x: f32[B, S, 8] step
  input m: f32[B, 24] trajectory
  const s1: f32[1, 1]
  const s2: f32[1, 1]
  const w1: i8[32, 8]
  const w1s: f32[32, 1]
  const b1: f32[32]
  const w2: i8[8, 32]
  const w2s: f32[8, 1]
  const b2: f32[8]
  shift = slice(m) {axis = 1, begin = 0, end = 8}
  scale = slice(m) {axis = 1, begin = 8, end = 16}
  gate = slice(m) {axis = 1, begin = 16, end = 24}
  shift.row = reshape(shift) {shape = [B, 1, 8]}
  scale.row = reshape(scale) {shape = [B, 1, 8]}
  gate.row = reshape(gate) {shape = [B, 1, 8]}
  norm = layer_norm(x) {eps = 1e-6}
  factor = affine(scale.row) {scale = 1, shift = 1}
  scaled = mul(norm, factor)
  norm2 = add(scaled, shift.row)
  ff.input, ff.input:1 = quantize(norm2, s1) {spec = "i8/*x*/static/f32", rows = "leading"}
  ff.dx = dequantize(ff.input, ff.input:1)
    {spec = "i8/*x*/static/f32", rows = "leading", shape = [B, S, 8]}
  ff.dw = dequantize(w1, w1s) {spec = "i8/1x*/static/f32", rows = "first", shape = [32, 8]}
  ff = linear(ff.dx, ff.dw, b1)
  act = gelu(ff) {approximate = "tanh"}
  out.input, out.input:1 = quantize(act, s2) {spec = "i8/*x*/static/f32", rows = "leading"}
  out.dx = dequantize(out.input, out.input:1)
    {spec = "i8/*x*/static/f32", rows = "leading", shape = [B, S, 32]}
  out.dw = dequantize(w2, w2s) {spec = "i8/1x*/static/f32", rows = "first", shape = [8, 32]}
  out = linear(out.dx, out.dw, b2)
  out.tap = reshape(out) {shape = [B, S, 8]}
  gated = mul(gate.row, out)
  block = add(x, gated)
  output sample = block
})";

TEST(Pipeline, ABlockBecomesThreeNodes) {
  expect_rewrite(all_passes, kBlock, R"(graph block {
    input x: f32[B, S, 8] step
    input m: f32[B, 24] trajectory
    const s1: f32[1, 1]
    const s2: f32[1, 1]
    const w1: i8[32, 8]
    const w1s: f32[32, 1]
    const b1: f32[32]
    const w2: i8[8, 32]
    const w2s: f32[8, 1]
    const b2: f32[8]
    shift = slice(m) {axis = 1, begin = 0, end = 8}
    scale = slice(m) {axis = 1, begin = 8, end = 16}
    gate = slice(m) {axis = 1, begin = 16, end = 24}
    ff.input, ff.input:1 = norm_modulate(x, scale, shift, s1)
      {eps = 1e-6, out_spec = "i8/*x*/static/f32"}
    out.input, out.input:1 = quantized_linear(ff.input, ff.input:1, w1, w1s, _, b1, _, _, s2)
      {activation = "gelu_tanh", out_spec = "i8/*x*/static/f32",
       w_spec = "i8/1x*/static/f32", x_spec = "i8/*x*/static/f32"}
    block = quantized_linear(out.input, out.input:1, w2, w2s, _, b2, gate, x)
      {w_spec = "i8/1x*/static/f32", x_spec = "i8/*x*/static/f32"}
    output sample = block
  })");
}

TEST(Pipeline, InBf16NothingIsCastInBetween) {
  PassOptions options;
  options.compute = DType::bf16;
  const Graph g = run_passes(parse_graph(kBlock), options);
  int casts = 0;
  for (const Node& node : g.nodes()) casts += node.op == Op::cast;
  EXPECT_EQ(casts, 3) << to_text(g);  // x, m, the result
  EXPECT_EQ(to_string(g.value(*g.find("block")).type), "bf16[B, S, 8]");
  EXPECT_EQ(to_string(g.value(g.outputs()[0].value).type), "f32[B, S, 8]");
}

TEST(Pipeline, TappedValuesSurvive) {
  Graph g = parse_graph(kBlock);
  const std::vector<std::string> taps{"out.tap", "ff", "norm2", "gated", "out"};
  for (const std::string& tap : taps) g.add_output(tap, *g.find(tap));
  const Graph result = run_passes(g);
  for (const std::string& tap : taps) {
    const std::optional<ValueId> id = result.find(tap);
    ASSERT_TRUE(id) << tap;
    EXPECT_TRUE(result.is_output(*id)) << tap;
    EXPECT_EQ(to_string(result.value(*id).type), to_string(g.value(*g.find(tap)).type));
  }
}

TEST(Pipeline, PassesAreIdempotent) {
  const Graph once = run_passes(parse_graph(kBlock));
  EXPECT_EQ(to_text(run_passes(once)), to_text(once));
}

TEST(Pipeline, PassesCanBeSwitchedOff) {
  PassOptions options;
  for (const Pass& pass : pass_table()) options.disabled.push_back(pass.name);
  std::vector<PassReport> reports;
  EXPECT_EQ(to_text(run_passes(parse_graph(kBlock), options, &reports)),
            to_text(parse_graph(kBlock)));
  EXPECT_TRUE(reports.empty());

  options.disabled = {"fuse_activation"};
  const Graph g = run_passes(parse_graph(kBlock), options, &reports);
  EXPECT_TRUE(g.find("ff"));
  EXPECT_EQ(reports.size(), pass_table().size() - 1);
  EXPECT_STREQ(reports.front().name, "dead_code");
  EXPECT_EQ(reports.front().nodes_before, reports.front().nodes_after + 1);
}

TEST(Pipeline, TheEnvironmentSwitchesOffToo) {
  ::setenv("OCTAVO_DISABLE_PASSES", "fuse_activation,fuse_quantized", 1);
  const std::string text = to_text(run_passes(parse_graph(kBlock)));
  ::setenv("OCTAVO_DISABLE_PASSES", "fuse_everything", 1);
  const std::string message = error_of([] { run_passes(parse_graph(kBlock)); });
  ::unsetenv("OCTAVO_DISABLE_PASSES");
  EXPECT_THAT(text, HasSubstr("gelu("));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("quantized_linear")));
  EXPECT_THAT(message, HasSubstr("'fuse_everything'; passes are: dead_code"));
}

TEST(Pipeline, ConstantsAreFoldedWithAnEvaluator) {
  Graph g;
  const ValueId w = g.add_constant("w", Tensor::zeros(DType::f32, {4}));
  g.add_output("y", g.add(Op::silu, {w}, {}, "y"));
  PassOptions options;
  EXPECT_EQ(run_passes(g, options).nodes().size(), 1u);
  options.evaluate = [](const Graph&, const Node&, const std::vector<Tensor>&) {
    return std::vector<Tensor>{Tensor::zeros(DType::f32, {4})};
  };
  EXPECT_EQ(run_passes(g, options).nodes().size(), 0u);
}

}  // namespace
}  // namespace octavo
