#include "pass_testing.h"

namespace octavo {
namespace {

using testing::error_of;
using testing::expect_rewrite;
using ::testing::HasSubstr;

Graph to_bf16(const Graph& graph) { return lower_precision(graph, DType::bf16); }

TEST(LowerPrecision, CastsInputsWeightsAndOutputs) {
  expect_rewrite(to_bf16,
                 R"(graph g {
    input x: f32[B, 8] step
    input ids: i64[B] step
    const w: f32[8, 8]
    const v: e4m3[8, 8]
    const table: f16[9, 8]
    h = linear(x, w)
    k = linear(h, v)
    e = embedding(table, ids)
    e32 = cast(e) {to = "f32"}
    z = add(k, e32)
    output y = z
  })",
                 R"(graph g {
    input x: f32[B, 8] step
    input ids: i64[B] step
    const w: bf16[8, 8]
    const v: e4m3[8, 8]
    const table: bf16[9, 8]
    x.bf16 = cast(x) {to = "bf16"}
    h = linear(x.bf16, w)
    k = linear(h, v)
    e = embedding(table, ids)
    z = add(k, e)
    z.f32 = cast(z) {to = "f32"}
    output y = z.f32
  })");
}

// Angles, timesteps and what leads to them stay f32.
TEST(LowerPrecision, PositionsAndTimestepsStayExact) {
  expect_rewrite(to_bf16,
                 R"(graph g {
    input x: f32[B, S, 2, 8] step
    input t: f32[B] schedule
    input a: f32[S, 1] request
    const w: f32[8, 16]
    ids = affine(a) {scale = 0.5, shift = 0}
    cos, sin = rope_table(ids) {axes = [8], theta = 10000}
    r = rope(x, cos, sin)
    ms = affine(t) {scale = 1000, shift = 0}
    e = timestep_embedding(ms) {dim = 16, flip_sin_to_cos = true, freq_shift = 0, max_period = 1e4}
    h = linear(e, w)
    output r = r
    output h = h
  })",
                 R"(graph g {
    input x: f32[B, S, 2, 8] step
    input t: f32[B] schedule
    input a: f32[S, 1] request
    const w: bf16[8, 16]
    ids = affine(a) {scale = 0.5, shift = 0}
    cos, sin = rope_table(ids) {axes = [8], theta = 10000}
    x.bf16 = cast(x) {to = "bf16"}
    r = rope(x.bf16, cos, sin)
    ms = affine(t) {scale = 1000, shift = 0}
    e = timestep_embedding(ms) {dim = 16, flip_sin_to_cos = true, freq_shift = 0, max_period = 1e4}
    e.bf16 = cast(e) {to = "bf16"}
    h = linear(e.bf16, w)
    r.f32 = cast(r) {to = "f32"}
    h.f32 = cast(h) {to = "f32"}
    output r = r.f32
    output h = h.f32
  })");
}

// The mask's lowest f32 must not meet bf16 or f16; the shape-only operand does not pin its value.
TEST(LowerPrecision, AttentionBiasStaysExact) {
  expect_rewrite(to_bf16,
                 R"(graph g {
    input x: f32[B, S, 8] step
    input m: i64[B, S] request
    const table: f32[32, 2]
    z = silu(x)
    p = relative_position_bias(table, z) {max_distance = 128, bidirectional = true}
    k = mask_bias(m)
    bias = add(p, k)
    q = reshape(z) {shape = [B, S, 2, 4]}
    y = attention(q, q, q, bias) {scale = 1}
    output y = y
  })",
                 R"(graph g {
    input x: f32[B, S, 8] step
    input m: i64[B, S] request
    const table: f32[32, 2]
    x.bf16 = cast(x) {to = "bf16"}
    z = silu(x.bf16)
    p = relative_position_bias(table, z) {max_distance = 128, bidirectional = true}
    k = mask_bias(m)
    bias = add(p, k)
    q = reshape(z) {shape = [B, S, 2, 4]}
    y = attention(q, q, q, bias) {scale = 1}
    y.f32 = cast(y) {to = "f32"}
    output y = y.f32
  })");
}

// One constant, exact in one place and not in another.
TEST(LowerPrecision, AConstantMayBeNeededInBothTypes) {
  expect_rewrite(to_bf16,
                 R"(graph g {
    input x: f32[B, 4, 2, 8] step
    const c: f32[4, 4]
    r = rope(x, c, c)
    s = reshape(r) {shape = [B, 4, 4, 4]}
    y = mul(s, c)
    output y = y
  })",
                 R"(graph g {
    input x: f32[B, 4, 2, 8] step
    const c: f32[4, 4]
    const c.bf16: bf16[4, 4]
    x.bf16 = cast(x) {to = "bf16"}
    r = rope(x.bf16, c, c)
    s = reshape(r) {shape = [B, 4, 4, 4]}
    y = mul(s, c.bf16)
    y.f32 = cast(y) {to = "f32"}
    output y = y.f32
  })");
}

TEST(LowerPrecision, FusedQuantizedGraphs) {
  expect_rewrite(to_bf16,
                 R"(graph g {
    input x: f32[B, S, 8] step
    input m: f32[B, 8] step
    const s: f32[1, 1]
    const w: i8[8, 8]
    const ws: f32[8, 1]
    q, qs = norm_modulate(x, m, m, s) {eps = 1e-6, out_spec = "i8/*x*/static/f32"}
    y = quantized_linear(q, qs, w, ws, _, _, m, x)
      {x_spec = "i8/*x*/static/f32", w_spec = "i8/1x*/static/f32"}
    output y = y
  })",
                 R"(graph g {
    input x: f32[B, S, 8] step
    input m: f32[B, 8] step
    const s: f32[1, 1]
    const w: i8[8, 8]
    const ws: f32[8, 1]
    x.bf16 = cast(x) {to = "bf16"}
    m.bf16 = cast(m) {to = "bf16"}
    q, qs = norm_modulate(x.bf16, m.bf16, m.bf16, s) {eps = 1e-6, out_spec = "i8/*x*/static/f32"}
    y = quantized_linear(q, qs, w, ws, _, _, m.bf16, x.bf16)
      {x_spec = "i8/*x*/static/f32", w_spec = "i8/1x*/static/f32", to = "bf16"}
    y.f32 = cast(y) {to = "f32"}
    output y = y.f32
  })");
}

TEST(LowerPrecision, ConstantsAreConverted) {
  Graph g;
  const ValueId x = g.add_input("x", DType::f32, {2}, Rate::step);
  const ValueId w = g.add_constant("w", Tensor::from({1.0f, 1.00390625f}, {2}));
  g.add_output("y", g.add(Op::add, {x, w}, {}, "y"));
  const Graph low = to_bf16(g);
  const Value& v = low.value(*low.find("w"));
  ASSERT_EQ(v.constant->dtype(), DType::bf16);
  EXPECT_THAT(v.constant->to_floats(), ::testing::ElementsAre(1.0f, 1.0f));
}

TEST(LowerPrecision, RefusesOtherTypes) {
  EXPECT_THAT(error_of([] { lower_precision(Graph(), DType::e4m3); }), HasSubstr("e4m3"));
}

}  // namespace
}  // namespace octavo
