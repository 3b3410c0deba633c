// Fusions in float: norm_modulate, qk_norm_rope, activations, gates and residuals.
#include "pass_testing.h"

namespace octavo {
namespace {

using testing::expect_rewrite;
using testing::expect_unchanged;

constexpr const char* kModulate = R"(graph g {
  input x: f32[B, S, 8] step
  input m: f32[B, 16] trajectory
  scale = slice(m) {axis = 1, begin = 0, end = 8}
  shift = slice(m) {axis = 1, begin = 8, end = 16}
  scale.row = reshape(scale) {shape = [B, 1, 8]}
  shift.row = reshape(shift) {shape = [B, 1, 8]}
  n = layer_norm(x) {eps = 1e-6}
  f = affine(scale.row) {scale = 1, shift = 1}
  p = mul($MUL)
  norm1 = add($ADD)
  y = silu(norm1)
  output y = y
})";

std::string with(std::string text, const std::string& key, const std::string& value) {
  const size_t at = text.find(key);
  EXPECT_NE(at, std::string::npos) << key;
  return text.replace(at, key.size(), value);
}

TEST(FuseNormModulate, FusesInAnyOrderOfOperands) {
  for (const char* mul : {"n, f", "f, n"}) {
    for (const char* add : {"p, shift.row", "shift.row, p"}) {
      expect_rewrite(fuse_norm_modulate, with(with(kModulate, "$MUL", mul), "$ADD", add),
                     R"(graph g {
        input x: f32[B, S, 8] step
        input m: f32[B, 16] trajectory
        scale = slice(m) {axis = 1, begin = 0, end = 8}
        shift = slice(m) {axis = 1, begin = 8, end = 16}
        norm1 = norm_modulate(x, scale, shift) {eps = 1e-6}
        y = silu(norm1)
        output y = y
      })");
    }
  }
}

TEST(FuseNormModulate, ReshapesWhatHasNoRows) {
  expect_rewrite(fuse_norm_modulate,
                 R"(graph g {
    input x: f32[B, S, 8] step
    input scale: f32[B, 1, 8] step
    input shift: f32[B, 1, 8] step
    n = layer_norm(x) {eps = 1e-6}
    f = affine(scale) {scale = 1, shift = 1}
    p = mul(n, f)
    y = add(p, shift)
    output y = y
  })",
                 R"(graph g {
    input x: f32[B, S, 8] step
    input scale: f32[B, 1, 8] step
    input shift: f32[B, 1, 8] step
    scale.rows = reshape(scale) {shape = [B, 8]}
    shift.rows = reshape(shift) {shape = [B, 8]}
    y = norm_modulate(x, scale.rows, shift.rows) {eps = 1e-6}
    output y = y
  })");
}

TEST(FuseNormModulate, TakesAnAffineBeforeTheReshape) {
  expect_rewrite(fuse_norm_modulate,
                 R"(graph g {
    input x: f32[B, S, 8] step
    input scale: f32[B, 8] step
    input shift: f32[B, 8] step
    n = layer_norm(x) {eps = 1e-6}
    f = affine(scale) {scale = 1, shift = 1}
    f.row = reshape(f) {shape = [B, 1, 8]}
    shift.row = reshape(shift) {shape = [B, 1, 8]}
    p = mul(n, f.row)
    y = add(p, shift.row)
    output y = y
  })",
                 R"(graph g {
    input x: f32[B, S, 8] step
    input scale: f32[B, 8] step
    input shift: f32[B, 8] step
    y = norm_modulate(x, scale, shift) {eps = 1e-6}
    output y = y
  })");
}

TEST(FuseNormModulate, NotApplicable) {
  const std::string good = with(with(kModulate, "$MUL", "n, f"), "$ADD", "p, shift.row");
  const auto result = [](const std::string& text) {
    return to_text(fuse_norm_modulate(parse_graph(text)));
  };
  const auto fused = [&](const std::string& text) {
    return result(text).find("norm_modulate") != std::string::npos;
  };
  ASSERT_TRUE(fused(good));
  EXPECT_FALSE(fused(with(good, "output y = y", "output y = y output n = n"))) << "a tapped norm";
  EXPECT_FALSE(fused(with(good, "output y = y", "output y = y output p = p")));
  EXPECT_FALSE(fused(with(good, "y = silu(norm1)", "y = add(norm1, n)"))) << "a second use";
  EXPECT_FALSE(fused(with(good, "{scale = 1, shift = 1}", "{scale = 1, shift = 0}")));
  EXPECT_FALSE(
      fused(with(good, "layer_norm(x)", "layer_norm(x, w)").insert(9, "const w: f32[8] ")));
  EXPECT_FALSE(fused(with(good, "layer_norm(x)", "rms_norm(x)")));
  EXPECT_FALSE(fused(with(with(good, "p = mul", "p = div"), "div(n, f)", "div(n, f)")));
  EXPECT_TRUE(fused(with(good, "output y = y", "output y = y output f = f"))) << "f may stay";
}

constexpr const char* kRope = R"(graph g {
  input x: f32[B, S, 2, 8] step
  input c: f32[S, 4] request
  const w: f32[8]
  n = rms_norm(x, w) {eps = 1e-6}
  q = rope(n, c, c)
  output y = q
})";

TEST(FuseQkNormRope, Fuses) {
  expect_rewrite(fuse_qk_norm_rope, kRope, R"(graph g {
    input x: f32[B, S, 2, 8] step
    input c: f32[S, 4] request
    const w: f32[8]
    q = qk_norm_rope(x, w, c, c) {eps = 1e-6}
    output y = q
  })");
  expect_unchanged(fuse_qk_norm_rope, with(kRope, "output y = q", "output y = q output n = n"));
  expect_unchanged(fuse_qk_norm_rope,
                   with(with(kRope, "rms_norm(x, w)", "rms_norm(x)"), "const w: f32[8]", ""));
}

TEST(FuseActivation, IntoLinear) {
  for (const auto& [op, name] : {std::pair{"silu(h)", "silu"},
                                 {"gelu(h) {approximate = \"tanh\"}", "gelu_tanh"},
                                 {"gelu(h) {approximate = \"none\"}", "gelu"}}) {
    expect_rewrite(fuse_activation, std::string(R"(graph g {
      input x: f32[B, 8] step
      const w: f32[4, 8]
      const b: f32[4]
      h = linear(x, w, b)
      act = )") + op + " output y = act }",
                   std::string(R"(graph g {
      input x: f32[B, 8] step
      const w: f32[4, 8]
      const b: f32[4]
      act = linear(x, w, b) {activation = ")") +
                       name + "\"} output y = act }");
  }
}

TEST(FuseActivation, IntoGroupNormOnlySilu) {
  const std::string norm = R"(graph g {
    input x: f32[B, 8, H, W] step
    const w: f32[8]
    h = group_norm(x, w, w) {groups = 2, eps = 1e-6}
    y = $ACT
    output y = y
  })";
  expect_rewrite(fuse_activation, with(norm, "$ACT", "silu(h)"), R"(graph g {
    input x: f32[B, 8, H, W] step
    const w: f32[8]
    y = group_norm(x, w, w) {groups = 2, eps = 1e-6, activation = "silu"}
    output y = y
  })");
  expect_unchanged(fuse_activation, with(norm, "$ACT", "gelu(h) {approximate = \"tanh\"}"));
}

TEST(FuseActivation, NotApplicable) {
  const std::string good = R"(graph g {
    input x: f32[B, 8] step
    const w: f32[8, 8]
    h = linear(x, w, _, $GATE, $RESIDUAL) $ATTRS
    y = silu(h)
    output y = y
  })";
  const auto variant = [&](const char* gate, const char* residual, const char* attrs) {
    return with(with(with(good, "$GATE", gate), "$RESIDUAL", residual), "$ATTRS", attrs);
  };
  expect_unchanged(fuse_activation, variant("x", "_", ""));
  expect_unchanged(fuse_activation, variant("_", "x", ""));
  expect_unchanged(fuse_activation, variant("_", "_", "{activation = \"silu\"}"));
  const std::string plain = variant("_", "_", "");
  expect_unchanged(fuse_activation, with(plain, "output y", "output h = h output y"));
  expect_unchanged(fuse_activation, with(plain, "output y = y", "z = add(y, h) output y = z"));
}

constexpr const char* kGated = R"(graph g {
  input x: f32[B, S, 8] step
  input r: f32[B, S, 4] step
  input g2: f32[B, 4] trajectory
  const w: f32[4, 8]
  gate = reshape(g2) {shape = [B, 1, 4]}
  h = linear(x, w) {activation = "silu"}
  gated = mul($MUL)
  z = add($ADD)
  output y = z
})";

TEST(FuseResidualGate, GateAndResidualInAnyOrder) {
  for (const char* mul : {"gate, h", "h, gate"}) {
    for (const char* add : {"r, gated", "gated, r"}) {
      expect_rewrite(fuse_residual_gate, with(with(kGated, "$MUL", mul), "$ADD", add),
                     R"(graph g {
        input x: f32[B, S, 8] step
        input r: f32[B, S, 4] step
        input g2: f32[B, 4] trajectory
        const w: f32[4, 8]
        z = linear(x, w, _, g2, r) {activation = "silu"}
        output y = z
      })");
    }
  }
}

TEST(FuseResidualGate, PlainResidual) {
  expect_rewrite(fuse_residual_gate,
                 R"(graph g {
    input x: f32[B, 8] step
    const w: f32[8, 8]
    h = linear(x, w)
    z = add(h, x)
    output y = z
  })",
                 R"(graph g {
    input x: f32[B, 8] step
    const w: f32[8, 8]
    z = linear(x, w, _, _, x)
    output y = z
  })");
  // Of two products the later operand takes the other as residual.
  expect_rewrite(fuse_residual_gate,
                 R"(graph g {
    input x: f32[B, 3, H, W] step
    const w: f32[4, 3, 1, 1]
    const v: f32[4, 3, 3, 3]
    shortcut = conv2d(x, w) {stride = 1, pads = [0, 0, 0, 0]}
    h = conv2d(x, v) {stride = 1, pads = [1, 1, 1, 1]}
    z = add(shortcut, h)
    output y = z
  })",
                 R"(graph g {
    input x: f32[B, 3, H, W] step
    const w: f32[4, 3, 1, 1]
    const v: f32[4, 3, 3, 3]
    shortcut = conv2d(x, w) {stride = 1, pads = [0, 0, 0, 0]}
    z = conv2d(x, v, _, shortcut) {stride = 1, pads = [1, 1, 1, 1]}
    output y = z
  })");
}

TEST(FuseResidualGate, AResidualMadeAfterTheProductIsStillInTime) {
  expect_rewrite(fuse_residual_gate,
                 R"(graph g {
    input x: f32[B, 8] step
    const w: f32[8, 8]
    h = linear(x, w)
    late = silu(x)
    z = add(late, h)
    output y = z
  })",
                 R"(graph g {
    input x: f32[B, 8] step
    const w: f32[8, 8]
    late = silu(x)
    z = linear(x, w, _, _, late)
    output y = z
  })");
}

TEST(FuseResidualGate, NotApplicable) {
  const std::string good = with(with(kGated, "$MUL", "gate, h"), "$ADD", "r, gated");
  expect_unchanged(fuse_residual_gate, with(good, "output y", "output h = h output y"));
  expect_unchanged(fuse_residual_gate, with(good, "output y", "output gated = gated output y"));
  // A residual that broadcasts, and a gate per token.
  expect_unchanged(fuse_residual_gate, with(good, "r: f32[B, S, 4]", "r: f32[B, 1, 4]"));
  expect_unchanged(fuse_residual_gate, R"(graph g {
    input x: f32[B, S, 8] step
    input r: f32[B, S, 8] step
    const w: f32[8, 8]
    h = linear(x, w)
    gated = mul(x, h)
    z = add(r, gated)
    output y = z
  })");
  // The product runs once a request, the sum every step.
  expect_unchanged(fuse_residual_gate, R"(graph g {
    input x: f32[B, 8] request
    input r: f32[B, 8] step
    const w: f32[8, 8]
    h = linear(x, w)
    z = add(r, h)
    output y = z
  })");
  // The product has a residual already.
  expect_unchanged(fuse_residual_gate, R"(graph g {
    input x: f32[B, 8] step
    const w: f32[8, 8]
    h = linear(x, w, _, _, x)
    z = add(x, h)
    output y = z
  })");
  // Doubling is no residual.
  expect_unchanged(fuse_residual_gate, R"(graph g {
    input x: f32[B, 8] step
    const w: f32[8, 8]
    h = linear(x, w)
    z = add(h, h)
    output y = z
  })");
}

}  // namespace
}  // namespace octavo
