#include <cmath>
#include <set>

#include "graph_testing.h"

namespace octavo {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

// Every op once, absent operands, symbols, quoted names, every kind of attribute.
constexpr const char* kAll = R"(graph "all ops" {
  input x: f32[B, S, 64] step
  input img: f32[B, 4, H, W] step
  input t: f32[B] schedule
  input ids: i64[B, S] request
  input pos: f32[S, 3] model
  const w: bf16[64, 64]
  const v: f32[64]
  const c: f32[4]
  const cw: f32[4, 4, 3, 3]
  const "0.weight": i4[64, 64]
  const ws: f16[64, 4]
  const xs: f32[1, 1]
  const cc: i8[4, 4, 3, 3]
  const cs: f32[4, 1]
  cos, sin = rope_table(pos) {axes = [8, 4, 4], theta = 10000.0}
  temb = timestep_embedding(t) {dim = 64, flip_sin_to_cos = true, freq_shift = 0.0, max_period = 1e4}
  a.lin = linear(x, w, v, temb, x) {activation = "gelu_tanh"}
  n1 = norm_modulate(a.lin, temb, temb) {eps = 1e-06}
  n2 = rms_norm(n1, v) {eps = 1e-06}
  n3 = layer_norm(n2, _, v) {eps = 1e-05}
  heads = reshape(n3) {shape = [B, S, 4, 16]}
  h.w = slice(v) {axis = 0, begin = 0, end = 16}
  r1 = rope(heads, cos, sin)
  r2 = qk_norm_rope(heads, h.w, cos, sin) {eps = 1e-06}
  mask = mask_bias(ids)
  rotated = hadamard(x) {block = 32}
  present = step_scale(t, c, cs)
  table = reshape(v) {shape = [16, 4]}
  rel = relative_position_bias(table, x) {max_distance = 128, bidirectional = false}
  bias = add(rel, mask)
  att = attention(r1, r2, heads, bias) {scale = 0.25}
  s1 = silu(att)
  s2 = gelu(s1) {approximate = "none"}
  s3 = sub(s2, s1)
  s4 = mul(s3, s1)
  s5 = div(s4, s1)
  s6 = affine(s5) {scale = 1.0, shift = -0.5}
  s7 = clamp(s6) {min = -inf, max = 65504.0}
  s8 = cast(s7) {to = "bf16"}
  s9 = transpose(s8) {perm = [0, 2, 1, 3]}
  emb = embedding(w, ids)
  one = expand(t) {shape = [S, B]}
  up = upsample_nearest(img) {factor = 2}
  gn = group_norm(img, c, c) {groups = 2, eps = 1e-06, activation = "silu"}
  conv = conv2d(gn, cw, c, img) {stride = 1, pads = [1, 1, 1, 1]}
  cat = concat(conv, img, img) {axis = 1}
  codes, scale = quantize(x, xs) {spec = "i8/*x*/static/f32"}
  q2, q2:1 = gelu(x, xs) {approximate = "tanh", out_spec = "i8/*x*/static/f32"}
  deq = dequantize("0.weight", ws) {spec = "i4/1x16/static/f16", shape = [64, 64]}
  ql = quantized_linear(codes, scale, "0.weight", ws) {w_spec = "i4/1x16/static/f16", x_spec = "i8/*x*/static/f32"}
  qc = quantized_conv2d(img, _, cc, cs) {w_spec = "i8/1x*/static/f32", stride = 2, pads = [0, 0, 1, 1]}
  qh, qh:1 = qk_norm_rope(heads, h.w, cos, sin, xs) {eps = 1e-06, out_spec = "i8/*x*/static/f32"}
  qa = quantized_attention(qh, qh:1, qh, qh:1, qh, qh:1, bias) {q_spec = "i8/*x*/static/f32", k_spec = "i8/*x*/static/f32", v_spec = "i8/*x*/static/f32", scale = 0.25, weights = "i8", to = "bf16"}
  ac, ac:1 = attention(r1, r2, heads, _, xs) {scale = 0.25, weights = "e4m3", out_spec = "i8/*x*/static/f32"}
  output "a \"quoted\" \\ name\x0a" = cat
  output y = ql
}
)";

TEST(Text, RoundTripOfEveryOp) {
  const Graph g = parse_graph(kAll);
  verify(g, "parsing");
  const std::string printed = to_text(g);
  EXPECT_EQ(to_text(parse_graph(printed)), printed);
  EXPECT_EQ(g.outputs()[0].name, "a \"quoted\" \\ name\n");
  std::set<Op> used;
  for (const Node& node : g.nodes()) used.insert(node.op);
  for (const OpInfo& op : op_table()) EXPECT_TRUE(used.contains(op.op)) << op.name;
  EXPECT_THAT(printed, HasSubstr("\n  n3 = layer_norm(n2, _, v) {eps = 1e-05} : f32[B, S, 64] "
                                 "step\n"));
  EXPECT_THAT(printed, HasSubstr("codes, scale = quantize(x, xs) {spec = \"i8/*x*/static/f32\"} : "
                                 "i8[B, S, 64], f32[1, 1] step"));
}

TEST(Text, NumbersKeepTheirBits) {
  for (double value : {0.1, 1e-300, 5e-324, -0.0, 1.0 / 3, 1e22, 12345678901234567.0}) {
    Graph g;
    const ValueId x = g.add_input("x", DType::f32, {}, Rate::step);
    g.add(Op::affine, {x}, {{"scale", value}, {"shift", -value}}, "y");
    const Graph back = parse_graph(to_text(g));
    EXPECT_TRUE(back.nodes()[0].attrs == g.nodes()[0].attrs) << to_text(g);
    EXPECT_EQ(std::signbit(back.nodes()[0].attrs.get_double("scale")), std::signbit(value));
  }
}

TEST(Text, AnyNameSurvives) {
  for (std::string name :
       {"input", "const", "output", "_", "0.weight", "x:1", "x:y", "a b", "/m/x", "é", "x#2", "-",
        "graph", "true", "\x01\x7f", "\"", "\\", "//", "a//b"}) {
    Graph g;
    g.name = name;
    const ValueId x = g.add_input(name, DType::f32, {Dim::symbol("B")}, Rate::step);
    g.add_output(name, g.add(Op::silu, {x}, {}, name));
    const std::string printed = to_text(g);
    EXPECT_EQ(to_text(parse_graph(printed)), printed) << name;
    EXPECT_EQ(parse_graph(printed).value(0).name, name);
  }
}

TEST(Text, CommentsAndAnnotations) {
  const Graph g = parse_graph(R"(
    // before
    graph g { // after
      input x: f32[B] step
      y = silu(x) : f32[B] step
      z = silu(y)   // no annotation
    })");
  EXPECT_EQ(g.nodes().size(), 2u);
}

struct Wrong {
  const char *body, *message;
};

const Wrong kWrong[] = {
    {"y = silu(x) : f32[S] step", "3:15: 'y' is said to be f32[S], but the op gives f32[B, 8]"},
    {"y = silu(x) : f32[B, 8] model", "3:25: the rate is said to be model"},
    {"y = relu(x)", "3:5: there is no op 'relu'"},
    {"y = silu(z)", "3:10: there is no value 'z' above"},
    {"x = silu(x)", "3:1: graph 'g' has two values named 'x'"},
    {"y = silu(x", "4:1: expected ')'"},
    {"y = silu(x) {eps = 1}", "3:14: silu has no attribute 'eps'"},
    {"y = affine(x) {scale = 1, scale = 2}", "3:27: attribute 'scale' is given twice"},
    {"y = affine(x) {scale = 1..2}", "3:24: expected a number, found '1..2'"},
    {"y = affine(x) {scale = 1}", "3:1: y = affine: attribute 'shift' (a number) is missing"},
    {"y = reshape(x) {shape = [8, B", "3:29: expected one of ',]'"},
    {"y = reshape(x) {shape = [8, B*]}", "3:29: dimension 'B*'"},
    {"y = transpose(x) {perm = [1, 0.5]}", "expected an integer, found '0.5'"},
    {"y, z = silu(x)", "silu has 1 results, but 2 names are given"},
    {"y = linear(x, _)", "operand 1 is absent"},
    {"input x2: f33[B] step", "3:11: there is no element type 'f33'"},
    {"input x2: f32[-1] step", "3:11: an extent is negative"},
    {"input x2: f32[B] often", "3:18: there is no rate 'often'"},
    {"input x2 f32[B] step", "3:10: expected ':'"},
    {"const k: f32[B]", "constant 'k' has symbols"},
    {"const k: f32[9223372036854775807, 9]", "3:1:"},
    {"output y = x output y = x", "two outputs named 'y'"},
    {"input = silu(x)", "expected a name"},
    {"_ = silu(x)", "must stand in quotes"},
    {"y = silu(\"x)", "3:10: a text without its closing quote"},
    {"y = silu(\"\\q\")", "unknown escape"},
    {"y = silu(\"\\xg0\")", "hexadecimal"},
    {"?", "3:1: expected a name"},
};

TEST(Text, ErrorsHaveLineAndColumn) {
  for (const Wrong& c : kWrong) {
    const std::string text = std::string("graph g {\ninput x: f32[B, 8] step\n") + c.body + "\n}";
    const std::string message = error_of([&] { parse_graph(text, "file.graph"); });
    EXPECT_THAT(message, HasSubstr(c.message)) << c.body;
    EXPECT_THAT(message, ::testing::StartsWith("file.graph:"));
  }
  EXPECT_THAT(error_of([] { parse_graph(""); }), HasSubstr("text:1:1: expected 'graph'"));
  EXPECT_THAT(error_of([] { parse_graph("graph g {} x"); }), HasSubstr("the end"));
  EXPECT_THAT(error_of([] { parse_graph("graph g {"); }), HasSubstr("1:10: expected a name"));
}

// Each prefix and each single-byte change of a good text either parses and verifies or ends in an
// Error with a position; nothing else.
TEST(Text, DamagedTextIsAnErrorOrAGraph) {
  const std::string good = kAll;
  int parsed = 0, refused = 0;
  const auto attempt = [&](const std::string& text) {
    try {
      verify(parse_graph(text), "parsing");
      ++parsed;
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::internal) << error.what();
      ++refused;
    }
  };
  for (size_t i = 0; i < good.size(); i += 7) attempt(good.substr(0, i));
  for (size_t i = 0; i < good.size(); i += 3) {
    std::string text = good;
    text[i] = static_cast<char>("{}[](),:=\"*-9x\n\xff"[i % 16]);
    attempt(text);
  }
  EXPECT_GT(refused, 500);
  EXPECT_GT(parsed, 10);
}

}  // namespace
}  // namespace octavo
