// fuse_quantized and fuse_quantize_into_producer.
#include "pass_testing.h"

namespace octavo {
namespace {

using testing::expect_rewrite;
using testing::expect_unchanged;

std::string with(std::string text, const std::string& key, const std::string& value) {
  const size_t at = text.find(key);
  EXPECT_NE(at, std::string::npos) << key;
  return text.replace(at, key.size(), value);
}

constexpr const char* kW8A8 = R"(graph g {
  input x: f32[B, S, 8] step
  const s: f32[1, 1]
  const w: i8[4, 8]
  const ws: f32[4, 1]
  const b: f32[4]
  q, qs = quantize(x, s) {spec = "i8/*x*/static/f32", rows = "leading"}
  dx = dequantize(q, qs) {spec = "i8/*x*/static/f32", rows = "leading", shape = [B, S, 8]}
  dw = dequantize(w, ws) {spec = "i8/1x*/static/f32", rows = "first", shape = [4, 8]}
  h = linear(dx, dw, b) {activation = "silu"}
  output y = h
})";

TEST(FuseQuantized, BothSides) {
  expect_rewrite(fuse_quantized, kW8A8, R"(graph g {
    input x: f32[B, S, 8] step
    const s: f32[1, 1]
    const w: i8[4, 8]
    const ws: f32[4, 1]
    const b: f32[4]
    q, qs = quantize(x, s) {spec = "i8/*x*/static/f32", rows = "leading"}
    h = quantized_linear(q, qs, w, ws, _, b)
      {activation = "silu", w_spec = "i8/1x*/static/f32", x_spec = "i8/*x*/static/f32"}
    output y = h
  })");
}

TEST(FuseQuantized, WeightOnlyWithZeroPoint) {
  expect_rewrite(fuse_quantized,
                 R"(graph g {
    input x: bf16[B, 8] step
    const w: i4[4, 8]
    const ws: f16[4, 2]
    const wz: f32[4, 2]
    dw = dequantize(w, ws, wz) {spec = "i4/1x4/static/f16/zp", shape = [4, 8]}
    h = linear(x, dw, _, _, _)
    output y = h
  })",
                 R"(graph g {
    input x: bf16[B, 8] step
    const w: i4[4, 8]
    const ws: f16[4, 2]
    const wz: f32[4, 2]
    h = quantized_linear(x, _, w, ws, wz) {w_spec = "i4/1x4/static/f16/zp"}
    output y = h
  })");
}

TEST(FuseQuantized, EpiloguesStay) {
  expect_rewrite(fuse_quantized,
                 R"(graph g {
    input x: f32[B, 8] step
    input r: f32[B, 4] step
    const w: i8[4, 8]
    const ws: f32[4, 1]
    const s: f32[1, 1]
    dw = dequantize(w, ws) {spec = "i8/1x*/static/f32", shape = [4, 8]}
    h, hs = linear(x, dw, _, r, r, s) {out_spec = "i8/*x*/static/f32"}
    output y = h
  })",
                 R"(graph g {
    input x: f32[B, 8] step
    input r: f32[B, 4] step
    const w: i8[4, 8]
    const ws: f32[4, 1]
    const s: f32[1, 1]
    h, hs = quantized_linear(x, _, w, ws, _, _, r, r, s)
      {out_spec = "i8/*x*/static/f32", w_spec = "i8/1x*/static/f32"}
    output y = h
  })");
}

TEST(FuseQuantized, ThroughTheCastsOfLowerPrecision) {
  expect_rewrite([](const Graph& g) { return fuse_quantized(lower_precision(g, DType::bf16)); },
                 kW8A8, R"(graph g {
    input x: f32[B, S, 8] step
    const s: f32[1, 1]
    const w: i8[4, 8]
    const ws: f32[4, 1]
    const b: bf16[4]
    x.bf16 = cast(x) {to = "bf16"}
    q, qs = quantize(x.bf16, s) {spec = "i8/*x*/static/f32", rows = "leading"}
    h = quantized_linear(q, qs, w, ws, _, b)
      {activation = "silu", to = "bf16", w_spec = "i8/1x*/static/f32", x_spec = "i8/*x*/static/f32"}
    h.f32 = cast(h) {to = "f32"}
    output y = h.f32
  })");
}

constexpr const char* kConv = R"(graph g {
  input x: f32[B, 3, H, W] step
  const w: i8[4, 3, 3, 3]
  const ws: f32[4, 1]
  const b: f32[4]
  q, qs = quantize(x) {spec = "i8/1x*/dynamic/f32", rows = "first"}
  dx = dequantize(q, qs) {spec = "i8/1x*/dynamic/f32", rows = "first", shape = [B, 3, H, W]}
  dw = dequantize(w, ws) {spec = "i8/1x*/static/f32", rows = "first", shape = [4, 3, 3, 3]}
  h = conv2d(dx, dw, b, x2) {stride = 1, pads = [1, 1, 1, 1]}
  output y = h
})";

TEST(FuseQuantized, Convolutions) {
  const std::string before = with(kConv, "const w:", "input x2: f32[B, 4, H, W] step const w:");
  expect_rewrite(fuse_quantized, before, R"(graph g {
    input x: f32[B, 3, H, W] step
    input x2: f32[B, 4, H, W] step
    const w: i8[4, 3, 3, 3]
    const ws: f32[4, 1]
    const b: f32[4]
    q, qs = quantize(x) {spec = "i8/1x*/dynamic/f32", rows = "first"}
    h = quantized_conv2d(q, qs, w, ws, _, b, x2) {stride = 1, pads = [1, 1, 1, 1],
      w_spec = "i8/1x*/static/f32", x_spec = "i8/1x*/dynamic/f32"}
    output y = h
  })");
}

TEST(FuseQuantized, ScalesOfTheWrongViewAreLeftAlone) {
  // The activation's rows run along the channels: only the weight is fused.
  expect_rewrite(fuse_quantized,
                 R"(graph g {
    input x: f32[B, 3, H, W] step
    const w: i8[4, 3, 3, 3]
    const ws: f32[4, 1]
    q, qs = quantize(x) {spec = "i8/1x*/dynamic/f32"}
    dx = dequantize(q, qs) {spec = "i8/1x*/dynamic/f32", shape = [B, 3, H, W]}
    dw = dequantize(w, ws) {spec = "i8/1x*/static/f32", rows = "first", shape = [4, 3, 3, 3]}
    h = conv2d(dx, dw) {stride = 1, pads = [1, 1, 1, 1]}
    output y = h
  })",
                 R"(graph g {
    input x: f32[B, 3, H, W] step
    const w: i8[4, 3, 3, 3]
    const ws: f32[4, 1]
    q, qs = quantize(x) {spec = "i8/1x*/dynamic/f32"}
    dx = dequantize(q, qs) {spec = "i8/1x*/dynamic/f32", shape = [B, 3, H, W]}
    h = quantized_conv2d(dx, _, w, ws) {stride = 1, pads = [1, 1, 1, 1],
      w_spec = "i8/1x*/static/f32"}
    output y = h
  })");
  // A float weight: nothing is fused.
  expect_unchanged(fuse_quantized, R"(graph g {
    input x: f32[B, 8] step
    const w: f32[4, 8]
    q, qs = quantize(x) {spec = "i8/1x*/dynamic/f32"}
    dx = dequantize(q, qs) {spec = "i8/1x*/dynamic/f32", shape = [B, 8]}
    h = linear(dx, w)
    output y = h
  })");
}

TEST(FuseQuantizeIntoProducer, NormModulate) {
  for (const auto& [scale, spec] :
       {std::pair{", s", "i8/*x*/static/f32"}, {"", "e4m3/1x*/dynamic/f32"}}) {
    const std::string head = R"(graph g {
      input x: f32[B, S, 8] step
      input m: f32[B, 8] step
      const s: f32[1, 1]
    )";
    const std::string attr = std::string("spec = \"") + spec + "\"";
    expect_rewrite(fuse_quantize_into_producer,
                   head + "n = norm_modulate(x, m, m) {eps = 1e-6} q, qs = quantize(n" + scale +
                       ") {" + attr + "} output q = q output s = qs }",
                   head + "q, qs = norm_modulate(x, m, m" + scale + ") {eps = 1e-6, out_" + attr +
                       "} output q = q output s = qs }");
  }
}

constexpr const char* kLinear = R"(graph g {
  input x: f32[B, 8] step
  const w: f32[4, 8]
  const s: f32[1, 1]
  h = linear(x, w, _, _, r) {activation = "gelu_tanh"}
  q, qs = quantize(h, s) {spec = "i8/*x*/static/f32"}
  output q = q
})";

TEST(FuseQuantizeIntoProducer, ProductsAndGelu) {
  const std::string before = with(kLinear, "const w", "input r: f32[B, 4] step const w");
  expect_rewrite(fuse_quantize_into_producer, before, R"(graph g {
    input x: f32[B, 8] step
    input r: f32[B, 4] step
    const w: f32[4, 8]
    const s: f32[1, 1]
    q, qs = linear(x, w, _, _, r, s) {activation = "gelu_tanh", out_spec = "i8/*x*/static/f32"}
    output q = q
  })");
  expect_rewrite(fuse_quantize_into_producer,
                 R"(graph g {
    input x: f32[B, 8] step
    const w: i8[4, 8]
    const ws: f32[4, 1]
    const s: f32[1, 1]
    h = quantized_linear(x, _, w, ws) {w_spec = "i8/1x*/static/f32"}
    q, qs = quantize(h, s) {spec = "i8/*x*/static/f32"}
    d = dequantize(q, qs) {spec = "i8/*x*/static/f32", shape = [B, 4]}
    a = gelu(d) {approximate = "tanh"}
    p, ps = quantize(a, s) {spec = "e4m3/*x*/static/f32", rows = "first"}
    output p = p
  })",
                 R"(graph g {
    input x: f32[B, 8] step
    const w: i8[4, 8]
    const ws: f32[4, 1]
    const s: f32[1, 1]
    q, qs = quantized_linear(x, _, w, ws, _, _, _, _, s)
      {w_spec = "i8/1x*/static/f32", out_spec = "i8/*x*/static/f32"}
    d = dequantize(q, qs) {spec = "i8/*x*/static/f32", shape = [B, 4]}
    p, ps = gelu(d, s) {approximate = "tanh", out_spec = "e4m3/*x*/static/f32"}
    output p = p
  })");
}

TEST(FuseQuantizeIntoProducer, NotApplicable) {
  const std::string good = with(kLinear, ", _, _, r", "");
  EXPECT_EQ(fuse_quantize_into_producer(parse_graph(good)).nodes().size(), 1u);
  expect_unchanged(fuse_quantize_into_producer, with(good, "output q", "output h = h output q"));
  expect_unchanged(fuse_quantize_into_producer,
                   with(good, "output q = q", "z = silu(h) output z = z output q = q"));
  // A scale per row cannot be known before the product's row is whole; nor one per tensor.
  for (const char* spec : {"i8/1x*/dynamic/f32", "i8/*x*/dynamic/f32"}) {
    expect_unchanged(fuse_quantize_into_producer,
                     with(with(good, "i8/*x*/static/f32", spec), "quantize(h, s)", "quantize(h)"));
  }
  expect_unchanged(fuse_quantize_into_producer, R"(graph g {
    input x: f32[B, S, 8] step
    input m: f32[B, 8] step
    n = norm_modulate(x, m, m) {eps = 1e-6}
    q, qs = quantize(n) {spec = "i8/*x*/dynamic/f32"}
    output q = q
  })");
  // Rows over axis 0 of three axes are not rows of the producer.
  expect_unchanged(fuse_quantize_into_producer, R"(graph g {
    input x: f32[B, S, 8] step
    input m: f32[B, 8] step
    n = norm_modulate(x, m, m) {eps = 1e-6}
    q, qs = quantize(n) {spec = "i8/1x*/dynamic/f32", rows = "first"}
    output q = q
  })");
  expect_unchanged(fuse_quantize_into_producer, R"(graph g {
    input x: f32[B, 8] step
    const w: f32[8, 8]
    n = rms_norm(x) {eps = 1e-6}
    q, qs = quantize(n) {spec = "i8/1x*/dynamic/f32"}
    output q = q
  })");
}

TEST(QuantizeBeforeConcat, CodesAreJoined) {
  expect_rewrite(quantize_before_concat,
                 R"(graph g {
    input x: f32[B, 8] step
    input y: f32[B, 4] step
    const s: f32[1, 1]
    a = gelu(x) {approximate = "tanh"}
    c = concat(a, y) {axis = 1}
    q, qs = quantize(c, s) {spec = "i8/*x*/static/f32"}
    d = dequantize(q, qs) {spec = "i8/*x*/static/f32", shape = [B, 12]}
    output z = d
  })",
                 R"(graph g {
    input x: f32[B, 8] step
    input y: f32[B, 4] step
    const s: f32[1, 1]
    a = gelu(x) {approximate = "tanh"}
    q.part, q.part:1 = quantize(a, s) {spec = "i8/*x*/static/f32"}
    q.part#2, q.part#2:1 = quantize(y, s) {spec = "i8/*x*/static/f32"}
    q = concat(q.part, q.part#2) {axis = 1}
    d = dequantize(q, s) {spec = "i8/*x*/static/f32", shape = [B, 12]}
    output z = d
  })");
}

TEST(QuantizeBeforeConcat, LeavesScalesOfWholeRowsAndPartsThatGainNothing) {
  const std::string text = R"(graph g {
    input x: f32[B, 8] step
    input y: f32[B, 4] step
    a = gelu(x) {approximate = "tanh"}
    c = concat(a, y) {axis = 1}
    q, qs = quantize(c) {spec = "i8/1x*/dynamic/f32"}
    d = dequantize(q, qs) {spec = "i8/1x*/dynamic/f32", shape = [B, 12]}
    output z = d
  })";
  expect_unchanged(quantize_before_concat, text.c_str());
  expect_unchanged(quantize_before_concat, R"(graph g {
    input x: f32[B, 8] step
    input y: f32[B, 4] step
    const s: f32[1, 1]
    c = concat(x, y) {axis = 1}
    q, qs = quantize(c, s) {spec = "i8/*x*/static/f32"}
    d = dequantize(q, qs) {spec = "i8/*x*/static/f32", shape = [B, 12]}
    output z = d
  })");
}

TEST(QuantizeBeforeConcat, CodesAreReshaped) {
  expect_rewrite(quantize_before_concat,
                 R"(graph g {
    input x: f32[B, S, 8] step
    input y: f32[B, S, 8] step
    const s: f32[1, 1]
    a = gelu(x) {approximate = "tanh"}
    r = reshape(a) {shape = [B, S, 2, 4]}
    t = reshape(y) {shape = [B, S, 2, 4]}
    c = concat(r, t) {axis = 1}
    q, qs = quantize(c, s) {spec = "e4m3/*x*/static/f32"}
    d = dequantize(q, qs) {spec = "e4m3/*x*/static/f32", shape = [B, 2*S, 2, 4]}
    output z = d
  })",
                 R"(graph g {
    input x: f32[B, S, 8] step
    input y: f32[B, S, 8] step
    const s: f32[1, 1]
    a = gelu(x) {approximate = "tanh"}
    t = reshape(y) {shape = [B, S, 2, 4]}
    q.part.part, q.part.part:1 = quantize(a, s) {spec = "e4m3/*x*/static/f32"}
    q.part = reshape(q.part.part) {shape = [B, S, 2, 4]}
    q.part#2, q.part#2:1 = quantize(t, s) {spec = "e4m3/*x*/static/f32"}
    q = concat(q.part, q.part#2) {axis = 1}
    d = dequantize(q, s) {spec = "e4m3/*x*/static/f32", shape = [B, 2*S, 2, 4]}
    output z = d
  })");
}

constexpr const char* kAttentionInputs = R"(graph g {
    input x: f32[B, S, 2, 8] step
    input cos: f32[S, 4] request
    input sin: f32[S, 4] request
    const w: f32[8]
    const s: f32[1, 1]
    const t: f32[1, 1]
)";

std::string attention_graph(const std::string& body) { return kAttentionInputs + body; }

TEST(FuseQuantized, AttentionOverCodes) {
  for (const bool lowered : {false, true}) {
    const auto operand = [&](const std::string& name) {
      const std::string back = name + ".d = dequantize(" + name +
                               ", s) {spec = \"e4m3/*x*/static/f32\", shape = " + "[B, S, 2, 8]}\n";
      return name + ", " + name + "s = quantize(x, s) {spec = \"e4m3/*x*/static/f32\"}\n" + back +
             (lowered ? name + ".c = cast(" + name + ".d) {to = \"bf16\"}\n" : "");
    };
    const std::string end = lowered ? ".c" : ".d";
    const std::string before = attention_graph(
        operand("q") + operand("k") + operand("v") + "a = attention(q" + end + ", k" + end + ", v" +
        end + ") {scale = 0.5, weights = \"e4m3\"}\noutput y = a\n}");
    const std::string after = attention_graph(
        R"(q, qs = quantize(x, s) {spec = "e4m3/*x*/static/f32"}
    k, ks = quantize(x, s) {spec = "e4m3/*x*/static/f32"}
    v, vs = quantize(x, s) {spec = "e4m3/*x*/static/f32"}
    a = quantized_attention(q, s, k, s, v, s) {k_spec = "e4m3/*x*/static/f32", q_spec = "e4m3/*x*/static/f32", scale = 0.5, )" +
        std::string(lowered ? "to = \"bf16\", " : "") +
        R"(v_spec = "e4m3/*x*/static/f32", weights = "e4m3"}
    output y = a
  })");
    const Graph fused = dead_code(fuse_quantized(parse_graph(before)));
    EXPECT_EQ(to_text(fused), to_text(dead_code(parse_graph(after))));
  }
}

TEST(FuseQuantized, AttentionOfWhichOneOperandIsNoCodesStays) {
  expect_unchanged(fuse_quantized, attention_graph(R"(
    k, ks = quantize(x, s) {spec = "e4m3/*x*/static/f32"}
    d = dequantize(k, s) {spec = "e4m3/*x*/static/f32", shape = [B, S, 2, 8]}
    a = attention(x, d, d) {scale = 0.5}
    output y = a
  })")
                                       .c_str());
}

TEST(FuseQuantizeIntoProducer, AroundAttention) {
  expect_rewrite(fuse_quantize_into_producer,
                 attention_graph(R"(
    n = qk_norm_rope(x, w, cos, sin) {eps = 1e-6}
    q, qs = quantize(n, s) {spec = "e4m3/*x*/static/f32"}
    a = quantized_attention(q, s, q, s, q, s) {scale = 0.5, q_spec = "e4m3/*x*/static/f32", k_spec = "e4m3/*x*/static/f32", v_spec = "e4m3/*x*/static/f32"}
    c, cs = quantize(a, t) {spec = "i8/*x*/static/f32"}
    b = attention(x, x, x) {scale = 0.5}
    e, es = quantize(b, t) {spec = "i8/*x*/static/f32"}
    output y = c
    output z = e
  })")
                     .c_str(),
                 attention_graph(R"(
    q, qs = qk_norm_rope(x, w, cos, sin, s) {eps = 1e-6, out_spec = "e4m3/*x*/static/f32"}
    c, cs = quantized_attention(q, s, q, s, q, s, _, t) {scale = 0.5, q_spec = "e4m3/*x*/static/f32", k_spec = "e4m3/*x*/static/f32", v_spec = "e4m3/*x*/static/f32", out_spec = "i8/*x*/static/f32"}
    e, es = attention(x, x, x, _, t) {scale = 0.5, out_spec = "i8/*x*/static/f32"}
    output y = c
    output z = e
  })")
                     .c_str());
}

// One kernel does not see a whole row of scales there.
TEST(FuseQuantizeIntoProducer, NotWithScalesFoundAtRunTime) {
  expect_unchanged(fuse_quantize_into_producer, attention_graph(R"(
    n = qk_norm_rope(x, w, cos, sin) {eps = 1e-6}
    q, qs = quantize(n) {spec = "e4m3/1x*/dynamic/f32"}
    d = dequantize(q, qs) {spec = "e4m3/1x*/dynamic/f32", shape = [B, S, 2, 8]}
    output y = d
  })")
                                                    .c_str());
}

TEST(AttentionCodes, AreLeftAloneWithoutKernels) {
  const Graph graph = parse_graph(attention_graph(R"(
    n = qk_norm_rope(x, w, cos, sin) {eps = 1e-6}
    q, qs = quantize(n, s) {spec = "e4m3/*x*/static/f32"}
    d = dequantize(q, s) {spec = "e4m3/*x*/static/f32", shape = [B, S, 2, 8]}
    a = attention(d, d, d) {scale = 0.5, weights = "e4m3"}
    r = reshape(a) {shape = [B, S, 16]}
    c, cs = quantize(r, t) {spec = "i8/*x*/static/f32"}
    output y = c
  })"));
  for (const auto pass : {fuse_quantized, quantize_before_concat, fuse_quantize_into_producer}) {
    EXPECT_EQ(to_text(pass(graph, false)), to_text(graph));
    EXPECT_NE(to_text(pass(graph, true)), to_text(graph));
  }
}

}  // namespace
}  // namespace octavo
