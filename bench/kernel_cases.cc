#include "kernel_cases.h"

#include <fmt/format.h>

namespace octavo::bench {
namespace {

constexpr const char* kStatic = "i8/*x*/static/f32";
constexpr const char* kRow = "i8/1x*/dynamic/f32";
constexpr const char* kTensor = "i8/*x*/dynamic/f32";
constexpr const char* kWeight = "i8/1x*/static/f32";

Input f32(Shape shape) { return {DType::f32, std::move(shape)}; }
Input weight(DType dtype, Shape shape) { return {dtype, std::move(shape), true}; }
Input scale(Shape shape) { return {DType::f32, std::move(shape), false, 0.004f, 0.006f}; }
Input w_scale(int64_t n) { return {DType::f32, {n, 1}, true, 0.001f, 0.002f}; }
Input codes(Shape shape, bool constant = false) {
  return {DType::i8, std::move(shape), constant, -127, 127};
}

struct Product {
  const char* name;
  int64_t tokens, k, n;
  const char* activation = "none";
  bool gated = false;
};

const std::vector<Product> kProducts = {
    {"qkv", 128, 256, 256},
    {"qkv_single", 256, 256, 256},
    {"qkv_fused", 256, 256, 768},
    {"out", 128, 256, 256, "none", true},
    {"mlp_in", 128, 256, 1024, "gelu_tanh"},
    {"mlp_out", 128, 1024, 256, "none", true},
    {"mlp_in_single", 256, 256, 1024, "gelu_tanh"},
    {"out_single", 256, 1280, 256, "none", true},
    {"modulation", 40, 256, 1536},
};

void add_products(std::vector<Case>& cases) {
  for (const Product& p : kProducts) {
    const Shape x{2, p.tokens / 2, p.k}, y{2, p.tokens / 2, p.n};
    const auto gate = [&](DType t) {
      return p.gated ? std::optional<Input>({t, {2, p.n}}) : std::nullopt;
    };
    const auto residual = [&](DType t) {
      return p.gated ? std::optional<Input>({t, y}) : std::nullopt;
    };
    const Attrs attrs{{"activation", std::string(p.activation)}};
    for (DType t : {DType::f32, DType::bf16}) {
      cases.push_back(
          {fmt::format("{}_{}", p.name, name(t)),
           Op::linear,
           attrs,
           {Input{t, x}, weight(t, {p.n, p.k}), weight(t, {p.n}), gate(t), residual(t)}});
    }
    Attrs quantized = attrs;
    quantized.set("x_spec", std::string(kStatic));
    quantized.set("w_spec", std::string(kWeight));
    std::vector<std::optional<Input>> inputs{
        codes(x),         scale({1, 1}),       codes({p.n, p.k}, true),
        w_scale(p.n),     std::nullopt,        weight(DType::f32, {p.n}),
        gate(DType::f32), residual(DType::f32)};
    cases.push_back({fmt::format("{}_i8", p.name), Op::quantized_linear, quantized, inputs});
    if (p.gated) continue;
    for (const char* spec : {kStatic, kRow, kTensor}) {
      Attrs fused = quantized;
      fused.set("out_spec", std::string(spec));
      auto with_scale = inputs;
      with_scale.push_back(spec == kStatic ? std::optional<Input>(scale({1, 1})) : std::nullopt);
      cases.push_back(
          {fmt::format("{}_i8_to_{}", p.name, spec), Op::quantized_linear, fused, with_scale});
    }
  }
}

void add_conditioned(std::vector<Case>& cases) {
  for (DType t : {DType::f32, DType::bf16}) {
    const Input x{t, {2, 128, 256}}, mod{t, {2, 256}};
    cases.push_back(
        {fmt::format("{}", name(t)), Op::norm_modulate, {{"eps", 1e-6}}, {x, mod, mod}});
    for (const char* spec : {kStatic, kRow, kTensor, "e4m3/*x*/static/f32"}) {
      const bool given = std::string_view(spec).find("static") != std::string_view::npos;
      cases.push_back({fmt::format("{}_to_{}", name(t), spec),
                       Op::norm_modulate,
                       {{"eps", 1e-6}, {"out_spec", std::string(spec)}},
                       {x, mod, mod, given ? std::optional<Input>(scale({1, 1})) : std::nullopt}});
      cases.push_back({fmt::format("{}_to_{}", name(t), spec),
                       Op::quantize,
                       {{"spec", std::string(spec)}},
                       {x, given ? std::optional<Input>(scale({1, 1})) : std::nullopt}});
    }
    const Input heads{t, {2, 128, 4, 64}}, w{t, {64}, true}, table = f32({128, 32});
    cases.push_back(
        {fmt::format("{}", name(t)), Op::qk_norm_rope, {{"eps", 1e-6}}, {heads, w, table, table}});
    cases.push_back({fmt::format("{}", name(t)), Op::rope, {}, {heads, table, table}});
    cases.push_back(
        {fmt::format("{}", name(t)), Op::attention, {{"scale", 0.125}}, {heads, heads, heads}});
    cases.push_back(
        {fmt::format("{}", name(t)), Op::rms_norm, {{"eps", 1e-6}}, {x, Input{t, {256}, true}}});
    cases.push_back({fmt::format("{}", name(t)),
                     Op::layer_norm,
                     {{"eps", 1e-6}},
                     {x, Input{t, {256}, true}, Input{t, {256}, true}}});
    cases.push_back({fmt::format("{}", name(t)), Op::silu, {}, {x}});
    cases.push_back(
        {fmt::format("{}", name(t)), Op::gelu, {{"approximate", std::string("tanh")}}, {x}});
    cases.push_back({fmt::format("{}", name(t)), Op::add, {}, {x, x}});
    cases.push_back({fmt::format("row_{}", name(t)), Op::mul, {}, {x, Input{t, {256}}}});
    cases.push_back({fmt::format("tokens_{}", name(t)),
                     Op::concat,
                     {{"axis", int64_t{1}}},
                     {Input{t, {2, 64, 4, 64}}, Input{t, {2, 64, 4, 64}}}});
    cases.push_back({fmt::format("channels_{}", name(t)),
                     Op::concat,
                     {{"axis", int64_t{2}}},
                     {x, Input{t, {2, 128, 1024}}}});
    cases.push_back({fmt::format("tokens_{}", name(t)),
                     Op::slice,
                     {{"axis", int64_t{1}}, {"begin", Dim(64)}, {"end", Dim(128)}},
                     {x}});
    cases.push_back({fmt::format("thirds_{}", name(t)),
                     Op::slice,
                     {{"axis", int64_t{2}}, {"begin", Dim(256)}, {"end", Dim(512)}},
                     {Input{t, {2, 128, 768}}}});
    const DType to = t == DType::f32 ? DType::bf16 : DType::f32;
    cases.push_back({fmt::format("{}_to_{}", name(t), name(to)),
                     Op::cast,
                     {{"to", std::string(name(to))}},
                     {x}});
  }
}

void add_decoder(std::vector<Case>& cases) {
  struct Conv {
    int64_t size, c, n, kernel;
  };
  const Attrs padded{{"stride", int64_t{1}}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}};
  const Attrs plain{{"stride", int64_t{1}}, {"pads", std::vector<int64_t>{0, 0, 0, 0}}};
  for (const Conv& c : {Conv{16, 96, 96, 3}, Conv{32, 96, 96, 3}, Conv{64, 64, 64, 3},
                        Conv{128, 32, 32, 3}, Conv{128, 32, 3, 3}, Conv{64, 96, 64, 1}}) {
    const Attrs& attrs = c.kernel == 3 ? padded : plain;
    const Shape x{1, c.c, c.size, c.size}, w{c.n, c.c, c.kernel, c.kernel};
    const std::string label = fmt::format("{}x{}_{}_{}", c.size, c.size, c.c, c.n);
    cases.push_back({label + "_f32",
                     Op::conv2d,
                     attrs,
                     {f32(x), weight(DType::f32, w), weight(DType::f32, {c.n})}});
    Attrs quantized = attrs;
    quantized.set("x_spec", std::string(kStatic));
    quantized.set("w_spec", std::string(kWeight));
    cases.push_back({label + "_i8",
                     Op::quantized_conv2d,
                     quantized,
                     {codes(x), scale({1, 1}), codes(w, true), w_scale(c.n), std::nullopt,
                      weight(DType::f32, {c.n})}});
  }
  cases.push_back({"128x128_32_f32",
                   Op::group_norm,
                   {{"groups", int64_t{16}}, {"eps", 1e-6}, {"activation", std::string("silu")}},
                   {f32({1, 32, 128, 128}), weight(DType::f32, {32}), weight(DType::f32, {32})}});
  cases.push_back(
      {"64x64_96_f32", Op::upsample_nearest, {{"factor", int64_t{2}}}, {f32({1, 96, 64, 64})}});
  cases.push_back(
      {"nchw_f32", Op::transpose, {{"perm", std::vector<int64_t>{0, 2, 1}}}, {f32({1, 96, 256})}});
}

}  // namespace

// 2 double blocks (picture and text streams of 128 rows) and 4 single ones (256 rows).
std::vector<StepPart> step_parts(bool quantized) {
  const Op product = quantized ? Op::quantized_linear : Op::linear;
  const auto pick = [&](const char* i8, const char* f32) { return quantized ? i8 : f32; };
  std::vector<StepPart> parts{
      {Op::norm_modulate, pick("f32_to_i8/*x*/static/f32", "f32"), 4 + 4},
      {product, pick("qkv_i8", "qkv_f32"), 2 * 6},
      {product, pick("qkv_single_i8", "qkv_single_f32"), 4 * 3},
      {Op::qk_norm_rope, "f32", 4 + 8},
      {Op::concat, "tokens_f32", 2 * 3},
      {Op::attention, "f32", 6},
      {Op::slice, "tokens_f32", 2 * 2},
      {product, pick("out_i8", "out_f32"), 2 * 2},
      {product, pick("mlp_in_i8_to_i8/*x*/static/f32", "mlp_in_f32"), 2 * 2},
      {product, pick("mlp_out_i8", "mlp_out_f32"), 2 * 2},
      {product, pick("mlp_in_single_i8_to_i8/*x*/static/f32", "mlp_in_single_f32"), 4},
      {product, pick("out_single_i8", "out_single_f32"), 4},
      {Op::concat, "channels_f32", 4},
  };
  if (quantized) parts.push_back({Op::quantize, "f32_to_i8/*x*/static/f32", 4 + 2});
  return parts;
}

std::vector<Case> kernel_cases() {
  std::vector<Case> cases;
  add_products(cases);
  add_conditioned(cases);
  add_decoder(cases);
  return cases;
}

}  // namespace octavo::bench
