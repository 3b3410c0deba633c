// Every op's shape rule: what it gives, and what it refuses.
#include <set>

#include "graph_testing.h"

namespace octavo {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::infer;

struct Accepted {
  const char *inputs, *call, *types;
};

const Accepted kAccepted[] = {
    {"x: f32[B, S, 64]; w: bf16[128, 64]; b: f32[128]; g: f32[B, 128]; r: f32[B, S, 128]",
     "linear(x, w, b, g, r) {activation = \"gelu_tanh\"}", "f32[B, S, 128]"},
    {"x: bf16[64]; w: f32[8, 64]", "linear(x, w)", "bf16[8]"},
    {"x: f32[B, 3, H, W]; w: f32[8, 3, 3, 3]; r: f32[B, 8, H, W]",
     "conv2d(x, w, _, r) {stride = 1, pads = [1, 1, 1, 1]}", "f32[B, 8, H, W]"},
    {"x: f32[B, 3, H, W]; w: f32[8, 3, 3, 3]", "conv2d(x, w) {stride = 2, pads = [0, 0, 1, 1]}",
     "f32[B, 8, floor(H/2), floor(W/2)]"},
    {"x: f32[1, 3, 5, 6]; w: f32[8, 3, 3, 3]", "conv2d(x, w) {stride = 1, pads = [0, 0, 0, 0]}",
     "f32[1, 8, 3, 4]"},
    {"q: f32[B, S, 8, 16]; k: f32[B, T, 2, 16]; v: f32[B, T, 2, 16]; m: f32[1, 8, S, T]",
     "attention(q, k, v, m) {scale = 0.25}", "f32[B, S, 8, 16]"},
    {"q: f32[B, S, 8, 16]; k: f32[B, T, 8, 16]; m: f32[B, 1, 1, T]",
     "attention(q, k, k, m) {scale = 0.25}", "f32[B, S, 8, 16]"},
    {"x: f32[B, S, 64]; w: f32[64]", "rms_norm(x, w) {eps = 1e-6}", "f32[B, S, 64]"},
    {"x: f32[B, S, 64]", "rms_norm(x) {eps = 0}", "f32[B, S, 64]"},
    {"x: f32[B, S, 64]; w: f32[64]", "layer_norm(x, _, w) {eps = 1e-6}", "f32[B, S, 64]"},
    {"x: f32[B, 64, H, W]; w: f32[64]",
     "group_norm(x, w, w) {groups = 32, eps = 1e-6, activation = \"silu\"}", "f32[B, 64, H, W]"},
    {"x: f32[B, S, 64]; m: f32[B, 64]", "norm_modulate(x, m, m) {eps = 1e-6}", "f32[B, S, 64]"},
    {"x: bf16[B, S, 8, 16]; c: f32[S, 8]", "rope(x, c, c)", "bf16[B, S, 8, 16]"},
    {"x: f32[B, S, 8, 16]; c: f32[S, 8]; w: bf16[16]", "qk_norm_rope(x, w, c, c) {eps = 1e-6}",
     "f32[B, S, 8, 16]"},
    {"x: f16[B]", "silu(x)", "f16[B]"},
    {"x: f32[B]", "gelu(x) {approximate = \"tanh\"}", "f32[B]"},
    {"a: f32[B, 1, 8]; b: f32[S, 1]", "add(a, b)", "f32[B, S, 8]"},
    {"a: f32[B, 1, 8]; b: f32[]", "sub(a, b)", "f32[B, 1, 8]"},
    {"a: f32[1]; b: f32[B, S]", "mul(a, b)", "f32[B, S]"},
    {"a: f32[0]; b: f32[1]", "div(a, b)", "f32[0]"},
    {"x: f32[B]", "affine(x) {scale = 2, shift = -1.5}", "f32[B]"},
    {"x: f32[B]", "clamp(x) {min = -inf, max = 3}", "f32[B]"},
    {"x: i64[B]", "cast(x) {to = \"bf16\"}", "bf16[B]"},
    {"x: f32[B, S, 64]", "reshape(x) {shape = [B*S, 8, 8]}", "f32[B*S, 8, 8]"},
    {"x: i64[B, S, 64]", "transpose(x) {perm = [0, 2, 1]}", "i64[B, 64, S]"},
    {"x: f32[B, S]; u: f32[B, 4]", "concat(x, u, x) {axis = 1}", "f32[B, 2*S + 4]"},
    {"x: f32[B, S + T]", "slice(x) {axis = 1, begin = T, end = S + T}", "f32[B, S]"},
    {"x: f32[B, 12]", "slice(x) {axis = 1, begin = 4, end = 8}", "f32[B, 4]"},
    {"x: f32[B, 1, 12]", "expand(x) {shape = [2, B, S, 12]}", "f32[2, B, S, 12]"},
    {"x: f32[B, 3, H, W]", "upsample_nearest(x) {factor = 2}", "f32[B, 3, 2*H, 2*W]"},
    {"t: bf16[99, 64]; i: i64[B, S]", "embedding(t, i)", "bf16[B, S, 64]"},
    {"t: f32[B]",
     "timestep_embedding(t) {dim = 256, flip_sin_to_cos = true, freq_shift = 0, max_period = 1e4}",
     "f32[B, 256]"},
    {"t: f32[32, 8]; x: f32[B, S, 64]",
     "relative_position_bias(t, x) {max_distance = 128, bidirectional = true}", "f32[1, 8, S, S]"},
    {"m: i64[B, S]", "mask_bias(m)", "f32[B, 1, 1, S]"},
    {"t: f32[B]; s: f32[3]; v: f32[3, 1]", "step_scale(t, s, v)", "f32[B, 1]"},
    {"x: bf16[B, S, 96]", "hadamard(x) {block = 32}", "bf16[B, S, 96]"},
    {"x: f32[B, 5]", "hadamard(x) {block = 1}", "f32[B, 5]"},
};

TEST(Infer, Accepts) {
  for (const Accepted& c : kAccepted) EXPECT_EQ(infer(c.inputs, c.call), c.types) << c.call;
  EXPECT_EQ(infer("i: f32[S, 3]", "rope_table(i) {axes = [8, 4, 4], theta = 1e4}", 2),
            "f32[S, 8], f32[S, 8]");
}

struct Refused {
  const char *inputs, *call, *message;
};

const Refused kRefused[] = {
    {"x: f32[B, 63]; w: f32[8, 64]", "linear(x, w)", "the last axes differ"},
    {"x: e4m3[B, 64]; w: f32[8, 64]", "linear(x, w)", "expected f32, f16 or bf16"},
    {"x: f32[B, 64]; w: i8[8, 64]", "linear(x, w)", "w is i8[8, 64], expected a float type"},
    {"x: f32[B, 64]; w: f32[8, 64]; b: f32[9]", "linear(x, w, b)", "expected shape [8]"},
    {"x: f32[B, S, 64]; w: f32[8, 64]; g: f32[S, 8]", "linear(x, w, _, g)", "f32[B, 8]"},
    {"x: f32[B, 64]; w: f32[8, 64]; r: bf16[B, 8]", "linear(x, w, _, _, r)", "residual is bf16"},
    {"x: f32[B, 64]; w: f32[8, 64]", "linear(x, w) {activation = \"relu\"}", "none | silu"},
    {"x: f32[B, 64]; w: f32[8, 64]", "linear(x, _)", "operand 1 is absent"},
    {"x: f32[B, 64]", "linear(x)", "linear has 1 operands, expected 2 to 6"},
    {"x: f32[B, 4, H, W]; w: f32[8, 3, 3, 3]", "conv2d(x, w) {stride = 1, pads = [0, 0, 0, 0]}",
     "the channels differ"},
    {"x: f32[B, 3, H, W]; w: f32[8, 3, 3, 3]", "conv2d(x, w) {stride = 0, pads = [0, 0, 0, 0]}",
     "'stride' is 0"},
    {"x: f32[B, 3, H, W]; w: f32[8, 3, 3, 3]", "conv2d(x, w) {stride = 1, pads = [0, 0, -1, 0]}",
     "top, left, bottom, right"},
    {"x: f32[B, 3, 2, W]; w: f32[8, 3, 3, 3]", "conv2d(x, w) {stride = 1, pads = [0, 0, 0, 0]}",
     "larger than the padded x"},
    {"x: f32[B, 3, H, W]; w: f32[8, 3, 3, 3]", "conv2d(x, w) {stride = 1}", "'pads'"},
    {"q: f32[B, S, 8, 16]; k: f32[B, T, 3, 16]", "attention(q, k, k) {scale = 1}",
     "8 heads, not a multiple of k's 3"},
    {"q: f32[B, S, 8, 16]; k: f32[B, T, 8, 15]", "attention(q, k, k) {scale = 1}", "k is"},
    {"q: f32[B, S, 8, 16]; k: f32[B, T, 8, 16]; m: f32[B, S, 1, T]",
     "attention(q, k, k, m) {scale = 1}", "bias is"},
    {"q: f32[B, S, 8, 16]; k: f32[B, T, 8, 16]", "attention(q, k, k) {scale = 0}", "above 0"},
    {"x: f32[B, 64]; w: f32[63]", "rms_norm(x, w) {eps = 1e-6}", "expected shape [64]"},
    {"x: i64[B, 64]", "rms_norm(x) {eps = 1e-6}", "x is i64"},
    {"x: f32[B, 64]", "rms_norm(x) {eps = -1}", "'eps' is -1"},
    {"x: f32[]", "layer_norm(x) {eps = 1e-6}", "at least 1 axes"},
    {"x: f32[B, 64]; b: f32[1]", "layer_norm(x, _, b) {eps = 1e-6}", "b is f32[1]"},
    {"x: f32[B, 64, H]; w: f32[64]", "group_norm(x, w, w) {groups = 7, eps = 1e-6}",
     "7 equal groups"},
    {"x: f32[B, C, H]; w: f32[C]", "group_norm(x, w, w) {groups = 1, eps = 1e-6}", "channels is C"},
    {"x: f32[B, S, 64]; m: f32[64]", "norm_modulate(x, m, m) {eps = 1e-6}", "expected f32[B, 64]"},
    {"x: f32[B, S, 8, 15]; c: f32[S, 7]", "rope(x, c, c)", "odd head size"},
    {"x: f32[B, S, 8, 16]; c: f32[B, 8]", "rope(x, c, c)", "expected f32[S, 8]"},
    {"x: bf16[B, S, 8, 16]; c: bf16[S, 8]", "rope(x, c, c)", "expected f32[S, 8]"},
    {"i: f32[S, 2]", "rope_table(i) {axes = [8, 4, 4], theta = 1e4}", "expected shape [S, 3]"},
    {"i: f32[S, 1]", "rope_table(i) {axes = [7], theta = 1e4}", "even sizes"},
    {"x: f32[B, S, 8, 16]; c: f32[S, 8]; w: f32[8]", "qk_norm_rope(x, w, c, c) {eps = 1e-6}",
     "expected shape [16]"},
    {"x: boolean[B]", "silu(x)", "element type"},
    {"x: bool[B]", "silu(x)", "expected f32, f16 or bf16"},
    {"x: f32[B]", "gelu(x) {approximate = \"erf\"}", "tanh | none"},
    {"x: f32[B]", "gelu(x)", "'approximate' (a text) is missing"},
    {"a: f32[B, 2]; b: f32[B, 3]", "add(a, b)", "do not broadcast: 2 against 3"},
    {"a: f32[B]; b: f32[S]", "sub(a, b)", "do not broadcast"},
    {"a: f32[B]; b: bf16[B]", "mul(a, b)", "cast one"},
    {"a: i64[B]", "div(a, a)", "expected f32, f16 or bf16"},
    {"x: f32[B]", "affine(x) {scale = nan, shift = 0}", "not a number"},
    {"x: f32[B]", "clamp(x) {min = 0}", "'max'"},
    {"x: f32[B]", "cast(x) {to = \"i4\"}", "expected one of"},
    {"x: e4m3[B]", "cast(x) {to = \"f32\"}", "dequantize"},
    {"x: f32[B, S]", "reshape(x) {shape = [B, 8]}", "8*B"},
    {"x: i4[B, 2]", "reshape(x) {shape = [2*B]}", "packed"},
    {"x: f32[B, S]", "transpose(x) {perm = [0, 0]}", "not an order of the 2 axes"},
    {"x: f32[B, S]", "transpose(x) {perm = [0]}", "not an order"},
    {"x: f32[B, S]; u: f32[S, B]", "concat(x, u) {axis = 1}", "a part is"},
    {"x: f32[B, S]", "concat(x, x) {axis = -1}", "axis -1"},
    {"x: f32[B, 4]", "slice(x) {axis = 1, begin = 2, end = 5}", "outside of axis 1"},
    {"x: f32[B, S]", "slice(x) {axis = 1, begin = 2, end = 1}", "outside of axis 1"},
    {"x: f32[B, S]", "slice(x) {axis = 2, begin = 0, end = 1}", "axis 2 is outside"},
    {"x: f32[B, 3]", "expand(x) {shape = [B, 6]}", "does not broadcast"},
    {"x: f32[B, 3]", "expand(x) {shape = [3]}", "does not broadcast"},
    {"x: f32[B, 3]", "upsample_nearest(x) {factor = 2}", "expected 4 axes"},
    {"x: f32[B, 3, 2, 2]", "upsample_nearest(x) {factor = 0}", "'factor' is 0"},
    {"t: f32[9, 4]; i: i32[B]", "embedding(t, i)", "expected i64"},
    {"t: f32[B]",
     "timestep_embedding(t) {dim = 5, flip_sin_to_cos = true, freq_shift = 0, max_period = 1e4}",
     "'dim' is 5"},
    {"t: f32[B]",
     "timestep_embedding(t) {dim = 4, flip_sin_to_cos = 1, freq_shift = 0, max_period = 1e4}",
     "true or false"},
    {"t: f32[K, 8]; x: f32[B, S, 64]",
     "relative_position_bias(t, x) {max_distance = 128, bidirectional = true}", "buckets is K"},
    {"t: f32[32, 8]; x: f32[B, S]",
     "relative_position_bias(t, x) {max_distance = 0, bidirectional = true}", "'max_distance'"},
    {"m: e4m3[B, S]", "mask_bias(m)", "expected i64, bool or f32"},
    {"m: i64[B]", "mask_bias(m)", "expected 2 axes"},
    {"t: bf16[B]; s: f32[3]; v: f32[3, 1]", "step_scale(t, s, v)", "expected f32"},
    {"t: f32[B]; s: f32[0]; v: f32[0, 1]", "step_scale(t, s, v)", "expected a positive number"},
    {"t: f32[B]; s: f32[S]; v: f32[S, 1]", "step_scale(t, s, v)", "the number of steps"},
    {"t: f32[B]; s: f32[3]; v: f32[2, 1]", "step_scale(t, s, v)", "values"},
    {"x: f32[B, 96]", "hadamard(x) {block = 64}", "a power of two that divides 96"},
    {"x: f32[B, 96]", "hadamard(x) {block = 3}", "a power of two that divides 96"},
    {"x: f32[B, 96]", "hadamard(x) {block = 0}", "a power of two that divides 96"},
    {"x: i8[B, 96]", "hadamard(x) {block = 32}", "expected f32"},
    {"x: f32[B, S]", "hadamard(x) {block = 32}", "x's last axis"},
};

TEST(Infer, Refuses) {
  for (const Refused& c : kRefused) {
    EXPECT_THAT(error_of([&] { infer(c.inputs, c.call); }), HasSubstr(c.message)) << c.call;
  }
}

// The op of a call's text.
std::string op_of(std::string_view call) { return std::string(call.substr(0, call.find('('))); }

TEST(Infer, EveryOpIsTried) {
  std::set<std::string> accepted{"rope_table"}, refused;
  for (const Accepted& c : kAccepted) accepted.insert(op_of(c.call));
  for (const Refused& c : kRefused) refused.insert(op_of(c.call));
  for (const OpInfo& op : op_table()) {
    if (op.op >= Op::quantize) continue;  // test_infer_quant.cc
    EXPECT_TRUE(accepted.contains(op.name)) << op.name;
    EXPECT_TRUE(refused.contains(op.name)) << op.name;
  }
}

TEST(OpTable, NamesAreUniqueAndFound) {
  for (const OpInfo& op : op_table()) {
    EXPECT_EQ(find_op(op.name), op.op);
    EXPECT_STREQ(name(op.op), op.name);
  }
  EXPECT_FALSE(find_op("matmul"));
}

TEST(Attrs, ConvertAndRefuse) {
  const OpInfo& slice = info(Op::slice);
  const Attrs given{{"axis", int64_t{1}}, {"begin", int64_t{2}}, {"end", Dim::symbol("S")}};
  const Attrs attrs = checked_attrs(slice, given);
  EXPECT_EQ(attrs.get_dim("begin"), Dim(2));
  EXPECT_EQ(attrs.get_int("begin"), 2);
  EXPECT_EQ(attrs.substitute({{"S", 9}}).get_int("end"), 9);
  EXPECT_THAT(error_of([&] { attrs.get_double("begin"); }), HasSubstr("not a number"));
  EXPECT_THAT(error_of([&] { attrs.get_int("step"); }), HasSubstr("'step' is absent"));
  Attrs wrong = given;
  wrong.set("axis", 1.5);
  EXPECT_THAT(error_of([&] { checked_attrs(slice, wrong); }), HasSubstr("must be an integer"));
  wrong.set("axis", int64_t{1});
  wrong.set("stop", int64_t{1});
  EXPECT_THAT(error_of([&] { checked_attrs(slice, wrong); }), HasSubstr("it takes: axis, begin"));
}

}  // namespace
}  // namespace octavo
