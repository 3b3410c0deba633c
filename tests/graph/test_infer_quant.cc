#include <fmt/format.h>

#include <set>

#include "graph_testing.h"

namespace octavo {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::infer;

TEST(InferQuant, Quantize) {
  EXPECT_EQ(
      infer("x: f32[B, S, 64]; s: f32[1, 1]", "quantize(x, s) {spec = \"i8/*x*/static/f32\"}", 2),
      "i8[B, S, 64], f32[1, 1]");
  EXPECT_EQ(infer("x: bf16[B, S, 64]", "quantize(x) {spec = \"e4m3/1x*/dynamic/f32\"}", 2),
            "e4m3[B, S, 64], f32[B*S, 1]");
  EXPECT_EQ(infer("x: f32[B, S, 64]", "quantize(x) {spec = \"e2m1/1x16/dynamic/e4m3\"}", 2),
            "e2m1[B, S, 64], f32[B*S, 4]");
  EXPECT_EQ(infer("x: f32[B, S, 64]", "quantize(x) {spec = \"i8/16x*/dynamic/f32\"}", 2),
            "i8[B, S, 64], f32[floor((B*S + 15)/16), 1]");
  EXPECT_EQ(infer("x: f32[B, C, H, W]",
                  "quantize(x) {spec = \"i8/1x*/dynamic/f32\", rows = "
                  "\"first\"}",
                  2),
            "i8[B, C, H, W], f32[B, 1]");
}

TEST(InferQuant, Dequantize) {
  EXPECT_EQ(infer("c: i4[64, 128]; s: f16[64, 1]; z: f32[64, 1]",
                  "dequantize(c, s, z) {spec = \"i4/1x128/static/f16/zp\", shape = [64, 128]}"),
            "f32[64, 128]");
  EXPECT_EQ(infer("c: i8[64, 3, 3, 3]; s: f32[64, 1]",
                  "dequantize(c, s) {spec = \"i8/1x*/static/f32\", rows = \"first\", shape = [64, "
                  "3, 3, 3]}"),
            "f32[64, 3, 3, 3]");
}

constexpr const char* kW8 = "w_spec = \"i8/1x*/static/f32\"";
constexpr const char* kStatic = "i8/*x*/static/f32";

TEST(InferQuant, Products) {
  const std::string w = "; w: i8[8, 64]; ws: f32[8, 1]";
  EXPECT_EQ(infer("x: bf16[B, 64]" + w, fmt::format("quantized_linear(x, _, w, ws) {{{}}}", kW8)),
            "bf16[B, 8]");
  EXPECT_EQ(
      infer("x: i8[B, S, 64]; xs: f32[1, 1]" + w + "; b: f32[8]; g: bf16[B, 8]; r: bf16[B, S, 8]",
            fmt::format("quantized_linear(x, xs, w, ws, _, b, g, r) {{{}, x_spec = \"{}\", to "
                        "= \"bf16\", activation = \"silu\"}}",
                        kW8, kStatic)),
      "bf16[B, S, 8]");
  EXPECT_EQ(
      infer("x: i8[B, 3, H, W]; xs: f32[B, 1]; w: i8[8, 3, 3, 3]; ws: f32[8, 1]; r: f32[B, 8, "
            "H, W]",
            fmt::format("quantized_conv2d(x, xs, w, ws, _, _, r) {{{}, x_spec = "
                        "\"i8/1x*/dynamic/f32\", stride = 1, pads = [1, 1, 1, 1]}}",
                        kW8)),
      "f32[B, 8, H, W]");
}

TEST(InferQuant, FusedOutput) {
  const std::string modulate = "x: f32[B, S, 64]; m: f32[B, 64]";
  EXPECT_EQ(
      infer(modulate + "; s: f32[1, 1]",
            fmt::format("norm_modulate(x, m, m, s) {{eps = 1e-6, out_spec = \"{}\"}}", kStatic), 2),
      "i8[B, S, 64], f32[1, 1]");
  EXPECT_EQ(infer(modulate,
                  "norm_modulate(x, m, m) {eps = 1e-6, out_spec = "
                  "\"e4m3/1x*/dynamic/f32\"}",
                  2),
            "e4m3[B, S, 64], f32[B*S, 1]");
  EXPECT_EQ(
      infer("x: f32[B, 64]; s: f32[1, 1]",
            fmt::format("gelu(x, s) {{approximate = \"tanh\", out_spec = \"{}\"}}", kStatic), 2),
      "i8[B, 64], f32[1, 1]");
  EXPECT_EQ(infer("x: f32[B, 64]; w: f32[8, 64]; s: f32[1, 1]",
                  fmt::format("linear(x, w, _, _, _, s) {{out_spec = \"{}\"}}", kStatic), 2),
            "i8[B, 8], f32[1, 1]");
  EXPECT_EQ(infer("x: f32[B, 64]; w: i8[8, 64]; ws: f32[8, 1]; s: f32[1, 1]",
                  fmt::format("quantized_linear(x, _, w, ws, _, _, _, _, s) {{{}, out_spec = "
                              "\"{}\"}}",
                              kW8, kStatic),
                  2),
            "i8[B, 8], f32[1, 1]");
  EXPECT_THAT(error_of([&] {
                infer(modulate + "; s: f32[1, 1]", "norm_modulate(x, m, m, s) {eps = 1e-6}");
              }),
              HasSubstr("there is no out_spec"));
  EXPECT_THAT(error_of([&] {
                infer(modulate,
                      fmt::format("norm_modulate(x, m, m) {{eps = 1e-6, "
                                  "out_spec = \"{}\"}}",
                                  kStatic),
                      2);
              }),
              HasSubstr("is static, but its scale operand is absent"));
}

constexpr const char* kAttention =
    "q: e4m3[B, S, 8, 16]; k: e4m3[B, T, 2, 16]; v: i8[B, T, 2, 16]; s: f32[1, 1]";
constexpr const char* kAttentionSpecs =
    "scale = 0.25, q_spec = \"e4m3/*x*/static/f32\", k_spec = \"e4m3/*x*/static/f32\"";

TEST(InferQuant, Attention) {
  const std::string specs = fmt::format("{}, v_spec = \"{}\"", kAttentionSpecs, kStatic);
  EXPECT_EQ(infer(kAttention, fmt::format("quantized_attention(q, s, k, s, v, s) {{{}}}", specs)),
            "f32[B, S, 8, 16]");
  EXPECT_EQ(infer(std::string(kAttention) + "; m: f32[B, 1, 1, T]",
                  fmt::format("quantized_attention(q, s, k, s, v, s, m) {{{}, weights = \"e4m3\", "
                              "to = \"bf16\"}}",
                              specs)),
            "bf16[B, S, 8, 16]");
  EXPECT_EQ(infer(kAttention,
                  fmt::format("quantized_attention(q, s, k, s, v, s, _, s) {{{}, out_spec = "
                              "\"e4m3/*x*/static/f32\"}}",
                              specs),
                  2),
            "e4m3[B, S, 8, 16], f32[1, 1]");
  EXPECT_EQ(infer("q: e4m3[B, S, 8, 16]; s: f32[B*S*8, 1]",
                  "quantized_attention(q, s, q, s, q, s) {scale = 1, q_spec = "
                  "\"e4m3/1x*/dynamic/f32\", k_spec = \"e4m3/1x*/dynamic/f32\", v_spec = "
                  "\"e4m3/1x*/dynamic/f32\"}"),
            "f32[B, S, 8, 16]");
  EXPECT_EQ(infer("q: f32[B, S, 8, 16]; s: f32[1, 1]",
                  fmt::format("attention(q, q, q, _, s) {{scale = 1, weights = \"e4m3\", out_spec "
                              "= \"{}\"}}",
                              kStatic),
                  2),
            "i8[B, S, 8, 16], f32[1, 1]");
  EXPECT_EQ(
      infer("x: bf16[B, S, 8, 16]; w: f32[16]; c: f32[S, 8]; s: f32[1, 1]",
            fmt::format("qk_norm_rope(x, w, c, c, s) {{eps = 1e-6, out_spec = \"{}\"}}", kStatic),
            2),
      "i8[B, S, 8, 16], f32[1, 1]");
}

struct Refused {
  const char *inputs, *call, *message;
};

const Refused kRefused[] = {
    {"x: f32[B, 64]", "quantize(x) {spec = \"i8/*x*/static/f32\"}", "operand is absent"},
    {"x: f32[B, 64]; s: f32[B, 1]", "quantize(x, s) {spec = \"i8/1x*/dynamic/f32\"}",
     "dynamic, but its scale operand is there"},
    {"x: f32[B, 64]; s: f32[B, 1]", "quantize(x, s) {spec = \"i8/1x*/static/f32\"}",
     "cannot follow the rows"},
    {"x: f32[B, 64]; s: f32[]", "quantize(x, s) {spec = \"i8/*x*/static/f32\"}", "f32[1, 1]"},
    {"x: f32[B, 64]; s: bf16[1, 1]", "quantize(x, s) {spec = \"i8/*x*/static/f32\"}", "f32[1, 1]"},
    {"x: f32[B, 64]", "quantize(x) {spec = \"i8/1x*/dynamic/f32/zp\"}", "for weights only"},
    {"x: f32[B, 64]", "quantize(x) {spec = \"i8/1x48/dynamic/f32\"}", "do not divide 64"},
    {"x: f32[B, S]", "quantize(x) {spec = \"i8/1x16/dynamic/f32\"}", "do not divide S"},
    {"x: f32[B, 64]", "quantize(x) {spec = \"i9/1x*/dynamic/f32\"}", "i9"},
    {"x: f32[]", "quantize(x) {spec = \"i8/1x*/dynamic/f32\"}", "scalar"},
    {"x: i8[B, 64]", "quantize(x) {spec = \"i8/1x*/dynamic/f32\"}", "expected f32, f16 or bf16"},
    {"x: f32[B, 64]", "quantize(x) {spec = \"i8/1x*/dynamic/f32\", rows = \"last\"}", "first"},
    {"c: i8[8, 64]; s: f32[8, 1]",
     "dequantize(c, s) {spec = \"e4m3/1x*/static/f32\", shape = [8, 64]}", "expected e4m3[8, 64]"},
    {"c: i8[8, 64]; s: f32[8, 1]",
     "dequantize(c, s) {spec = \"i8/1x*/static/f32\", shape = [64, 8]}", "expected i8[64, 8]"},
    {"c: i8[8, 64]; s: f32[1, 8]",
     "dequantize(c, s) {spec = \"i8/1x*/static/f32\", shape = [8, 64]}", "expected shape [8, 1]"},
    {"c: i8[8, 64]; s: f32[8, 1]",
     "dequantize(c, s) {spec = \"i8/1x*/static/f32/zp\", shape = [8, 64]}", "zero_point is absent"},
    {"x: i8[B, 64]; w: i8[8, 64]; ws: f32[8, 1]",
     "quantized_linear(x, _, w, ws) {w_spec = \"i8/1x*/static/f32\"}", "expected f32, f16 or bf16"},
    {"x: i8[B, 64]; w: i8[8, 64]; ws: f32[8, 1]",
     "quantized_linear(x, _, w, ws) {w_spec = \"i8/1x*/static/f32\", x_spec = "
     "\"i8/*x*/static/f32\"}",
     "x_scale is absent"},
    {"x: f32[B, 64]; w: i8[8, 64]; ws: f32[8, 1]",
     "quantized_linear(x, _, w, ws) {w_spec = \"i8/1x*/static/f32\", to = \"bf16\"}",
     "'to' is for codes"},
    {"x: f32[B, 64]; s: f32[1, 1]; w: i8[8, 64]; ws: f32[8, 1]",
     "quantized_linear(x, s, w, ws) {w_spec = \"i8/1x*/static/f32\"}", "there is no x_spec"},
    {"x: f32[B, 64]; w: i8[8, 64]; ws: f32[8, 1]",
     "quantized_linear(x, _, _, ws) {w_spec = \"i8/1x*/static/f32\"}", "operand 2 is absent"},
    {"x: f32[B, 64]; w: i8[8, 64]; ws: f32[8, 2]",
     "quantized_linear(x, _, w, ws) {w_spec = \"i8/1x*/static/f32\"}", "expected shape [8, 1]"},
    {"x: f32[B, 3, H, W]; w: i8[8, 4, 3, 3]; ws: f32[8, 1]",
     "quantized_conv2d(x, _, w, ws) {w_spec = \"i8/1x*/static/f32\", stride = 1, pads = [1, 1, 1, "
     "1]}",
     "the channels differ"},
    {"q: e4m3[B, S, 8, 16]; s: f32[1, 1]",
     "quantized_attention(q, s, q, s, q, s) {scale = 1, q_spec = \"i8/*x*/static/f32\", k_spec = "
     "\"e4m3/*x*/static/f32\", v_spec = \"e4m3/*x*/static/f32\"}",
     "q is e4m3[B, S, 8, 16], expected i8"},
    {"q: i8[B, S, 8, 16]; s: f32[8, 1]; k: i8[B, S, 8, 16]; t: f32[1, 1]",
     "quantized_attention(q, t, k, s, k, t) {scale = 1, q_spec = \"i8/*x*/static/f32\", k_spec = "
     "\"i8/*x*/static/f32\", v_spec = \"i8/*x*/static/f32\"}",
     "k_scale is f32[8, 1], expected f32[1, 1]"},
    {"q: f32[B, S, 8, 16]", "attention(q, q, q) {scale = 1, weights = \"i4\"}",
     "expected one of: e4m3 | e5m2 | i8"},
    {"q: f32[B, S, 8, 16]; k: bf16[B, S, 8, 16]", "attention(q, k, k) {scale = 1}",
     "k is bf16[B, S, 8, 16], expected f32"},
};

TEST(InferQuant, Refuses) {
  for (const Refused& c : kRefused) {
    const int results = std::string(c.call).starts_with("quantize(") ? 2 : 1;
    EXPECT_THAT(error_of([&] { infer(c.inputs, c.call, results); }), HasSubstr(c.message))
        << c.call;
  }
}

}  // namespace
}  // namespace octavo
