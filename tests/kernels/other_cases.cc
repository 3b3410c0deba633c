// Data movement, conditioning, quantization and quantized products.
#include "base/check.h"
#include "kernels/cases.h"
#include "octavo/quant_spec.h"
#include "support.h"
#include "tensor/quantize.h"

namespace octavo::test {
namespace {

using Ints = std::vector<int64_t>;

void add_move(CaseList& list, Op op, Attrs attrs, std::vector<Shape> shapes, DType dtype,
              const std::string& text) {
  list.push_back({fmt::format("{}_{}_{}", name(op), name(dtype), text), [=] {
                    Case c{op, attrs, {}};
                    uint64_t seed = 1;
                    for (const Shape& shape : shapes) {
                      c.inputs.emplace_back(values(shape, dtype, seed++, Data::normal, 20));
                    }
                    return c;
                  }});
}

Tensor ids(Shape shape, int64_t below) {
  Tensor t = Tensor::empty(DType::i64, std::move(shape));
  Random random(7);
  for (int64_t i = 0; i < t.elements(); ++i) t.as_mutable<int64_t>()[i] = random.below(below);
  return t;
}

// Random codes of a format, near its range's middle, and scales and zero points for their tiles.
Tensor codes(Shape shape, const QuantSpec& spec, uint64_t seed) {
  const DType format = *find_dtype(spec.format);
  const bool is_ieee = format == DType::e5m2;  // six sigma stay below its infinity
  return values(std::move(shape), format, seed, Data::normal,
                static_cast<float>(info(format).max) / (is_ieee ? 8 : 3));
}
Tensor scales(const Shape& shape, const QuantSpec& spec, MatrixView view, uint64_t seed,
              DType dtype, float size) {
  const auto [rows, cols] = matrix_extents(shape, view);
  Tensor t = Tensor::empty(DType::f32, spec.scale_shape(rows, cols));
  Random random(seed);
  for (int64_t i = 0; i < t.elements(); ++i)
    t.as_mutable<float>()[i] = random.uniform(0.5f, 2) * size;
  return t.to(dtype);
}
Tensor zero_points(const Tensor& scale) {
  Tensor t = Tensor::empty(DType::f32, scale.shape());
  Random random(11);
  for (int64_t i = 0; i < t.elements(); ++i) {
    t.as_mutable<float>()[i] = static_cast<float>(random.below(9) - 4);
  }
  return t;
}

std::string label(const std::string& spec) {
  std::string text;
  for (const char c : spec)
    text += std::isalnum(static_cast<unsigned char>(c)) ? c : c == '*' ? 'w' : '_';
  return text;
}

void add_quantize(CaseList& list, const std::string& spec_text, Shape shape, DType dtype, Data data,
                  bool first) {
  list.push_back(
      {fmt::format("quantize_{}_{}_{}{}_{}", label(spec_text), name(dtype), fmt::join(shape, "x"),
                   first ? "_first" : "", name(data)),
       [=] {
         const QuantSpec spec = QuantSpec::parse(spec_text);
         Case c{Op::quantize, {{"spec", spec_text}}, {values(shape, dtype, 1, data), std::nullopt}};
         if (first) c.attrs.set("rows", std::string("first"));
         if (spec.timing == QuantSpec::Timing::static_) {
           c.inputs[1] = scales(shape, spec, first ? MatrixView::weight : MatrixView::activation, 2,
                                DType::f32, 0.02f);
         }
         // Beside an outlier of 6e4 an ordinary value rounds to code 0.
         c.sparse = data == Data::outliers;
         return c;
       }});
}

void add_dequantize(CaseList& list, const std::string& spec_text, Shape shape, DType scale_type,
                    bool first) {
  list.push_back({fmt::format("dequantize_{}_{}", label(spec_text), fmt::join(shape, "x")), [=] {
                    const QuantSpec spec = QuantSpec::parse(spec_text);
                    const MatrixView view = first ? MatrixView::weight : MatrixView::activation;
                    Case c{Op::dequantize,
                           {{"spec", spec_text}, {"shape", symbolic(shape)}},
                           {codes(shape, spec, 1), scales(shape, spec, view, 2, scale_type, 0.1f),
                            std::nullopt}};
                    if (first) c.attrs.set("rows", std::string("first"));
                    if (spec.zero_point) c.inputs[2] = zero_points(*c.inputs[1]);
                    return c;
                  }});
}

// x_spec "" is a float x of type `x`.
struct QuantizedLinear {
  std::string x_spec, w_spec;
  DType x = DType::f32;
  int64_t batch = 2, rows = 17, k = 64, n = 33;
  std::string activation = "none", out_spec = "";
  bool gate = false, residual = false;
  std::string to = "f32";
  DType w_scale = DType::f32;
};

Case quantized_linear_case(const QuantizedLinear& q) {
  const QuantSpec w = QuantSpec::parse(q.w_spec);
  const Shape x_shape{q.batch, q.rows, q.k}, w_shape{q.n, q.k};
  Case c{Op::quantized_linear,
         {{"w_spec", q.w_spec}, {"activation", q.activation}},
         Inputs(9),
         {2, 3, 4, 5}};
  const DType side = q.x_spec.empty() ? q.x : *find_dtype(q.to);
  if (q.x_spec.empty()) {
    c.inputs[0] = values(x_shape, q.x, 1);
  } else {
    const QuantSpec x = QuantSpec::parse(q.x_spec);
    c.attrs.set("x_spec", q.x_spec);
    c.attrs.set("to", q.to);
    c.inputs[0] = codes(x_shape, x, 1);
    c.inputs[1] = scales(x_shape, x, MatrixView::activation, 2, DType::f32, 0.02f);
  }
  c.inputs[2] = codes(w_shape, w, 3);
  c.inputs[3] = scales(w_shape, w, MatrixView::weight, 4, q.w_scale, 0.01f);
  if (w.zero_point) c.inputs[4] = zero_points(*c.inputs[3]);
  c.inputs[5] = values({q.n}, side, 5);
  if (q.gate) c.inputs[6] = values({q.batch, q.n}, side, 6);
  if (q.residual) c.inputs[7] = values({q.batch, q.rows, q.n}, side, 7);
  if (q.out_spec.empty()) return c;
  c.attrs.set("out_spec", q.out_spec);
  if (q.out_spec.find("static") != q.out_spec.npos) c.inputs[8] = Tensor::from({0.04f}, {1, 1});
  return c;
}

void add_quantized_linear(CaseList& list, const QuantizedLinear& q) {
  const std::string x = q.x_spec.empty() ? std::string(name(q.x)) : label(q.x_spec);
  list.push_back(
      {fmt::format("quantized_linear_{}_by_{}_{}x{}x{}x{}_{}{}{}_to_{}", x, label(q.w_spec),
                   q.batch, q.rows, q.k, q.n, q.activation, q.gate ? "_gate" : "",
                   q.residual ? "_residual" : "", q.out_spec.empty() ? q.to : label(q.out_spec)),
       [=] { return quantized_linear_case(q); }});
}

void add_quantized_conv(CaseList& list, const std::string& x_spec, const std::string& w_spec,
                        Shape x_shape, int64_t filters, int64_t kernel, int64_t stride,
                        bool residual, const std::string& to) {
  list.push_back(
      {fmt::format("quantized_conv2d_{}_by_{}_{}_{}_k{}_s{}{}_to_{}",
                   x_spec.empty() ? "float" : label(x_spec), label(w_spec), fmt::join(x_shape, "x"),
                   filters, kernel, stride, residual ? "_residual" : "", to),
       [=] {
         const QuantSpec w = QuantSpec::parse(w_spec);
         const Shape w_shape{filters, x_shape[1], kernel, kernel};
         const int64_t pad = kernel / 2;
         const DType side = *find_dtype(to);
         Case c{Op::quantized_conv2d,
                {{"w_spec", w_spec}, {"stride", stride}, {"pads", Ints{pad, pad, pad, pad}}},
                Inputs(7),
                {2, 3, 4, 5}};
         if (x_spec.empty()) {
           c.inputs[0] = values(x_shape, side, 1);
         } else {
           const QuantSpec x = QuantSpec::parse(x_spec);
           c.attrs.set("x_spec", x_spec);
           c.attrs.set("to", to);
           c.inputs[0] = codes(x_shape, x, 1);
           c.inputs[1] = scales(x_shape, x, MatrixView::weight, 2, DType::f32, 0.02f);
         }
         c.inputs[2] = codes(w_shape, w, 3);
         c.inputs[3] = scales(w_shape, w, MatrixView::weight, 4, DType::f32, 0.01f);
         if (w.zero_point) c.inputs[4] = zero_points(*c.inputs[3]);
         c.inputs[5] = values({filters}, side, 5);
         const Shape out{x_shape[0], filters, (x_shape[2] + 2 * pad - kernel) / stride + 1,
                         (x_shape[3] + 2 * pad - kernel) / stride + 1};
         if (residual) c.inputs[6] = values(out, side, 6);
         return c;
       }});
}

}  // namespace

void add_movement_cases(CaseList& list) {
  for (const DType d : {DType::f32, DType::bf16, DType::i8, DType::i64, DType::e4m3}) {
    add_move(list, Op::reshape, {{"shape", SymShape{65, 34}}}, {{2, 65, 17}}, d, "join");
    add_move(list, Op::transpose, {{"perm", Ints{0, 2, 1, 3}}}, {{2, 17, 3, 65}}, d, "heads");
    add_move(list, Op::transpose, {{"perm", Ints{1, 0}}}, {{65, 257}}, d, "matrix");
    add_move(list, Op::transpose, {{"perm", Ints{0, 2, 4, 1, 3, 5}}}, {{1, 8, 2, 4, 2, 3}}, d,
             "pack");
    add_move(list, Op::transpose, {{"perm", Ints{2, 0, 1}}}, {{3, 0, 5}}, d, "empty");
    add_move(list, Op::concat, {{"axis", int64_t{1}}}, {{2, 3, 17}, {2, 65, 17}, {2, 0, 17}}, d,
             "middle");
    add_move(list, Op::concat, {{"axis", int64_t{2}}}, {{2, 3, 17}, {2, 3, 1}}, d, "last");
    add_move(list, Op::concat, {{"axis", int64_t{0}}}, {{1, 257}, {3, 257}}, d, "first");
    add_move(list, Op::slice, {{"axis", int64_t{1}}, {"begin", int64_t{3}}, {"end", int64_t{60}}},
             {{2, 65, 17}}, d, "middle");
    add_move(list, Op::slice, {{"axis", int64_t{2}}, {"begin", int64_t{1}}, {"end", int64_t{17}}},
             {{2, 5, 17}}, d, "last");
    add_move(list, Op::slice, {{"axis", int64_t{0}}, {"begin", int64_t{2}}, {"end", int64_t{2}}},
             {{3, 17}}, d, "nothing");
    add_move(list, Op::expand, {{"shape", SymShape{3, 2, 65, 17}}}, {{2, 1, 17}}, d, "rows");
    add_move(list, Op::expand, {{"shape", SymShape{4, 257}}}, {{1, 1}}, d, "one");
  }
  for (const DType d : {DType::f32, DType::bf16, DType::f16}) {
    add_move(list, Op::upsample_nearest, {{"factor", int64_t{2}}}, {{2, 3, 5, 17}}, d, "2");
    add_move(list, Op::upsample_nearest, {{"factor", int64_t{3}}}, {{1, 1, 1, 1}}, d, "3");
    list.push_back(
        {fmt::format("embedding_{}", name(d)), [d] {
           return Case{Op::embedding, {}, {values({65, 17}, d, 1), ids({3, 17}, 65)}, {0}};
         }});
  }
}

void add_conditioning_cases(CaseList& list) {
  list.push_back({"timestep_embedding", [] {
                    return Case{Op::timestep_embedding,
                                {{"dim", int64_t{256}},
                                 {"flip_sin_to_cos", true},
                                 {"freq_shift", 0.0},
                                 {"max_period", 10000.0}},
                                {Tensor::from({1000, 999.5f, 500, 3.25f, 1}, {5})}};
                  }});
  for (const DType d : {DType::f32, DType::bf16}) {
    list.push_back({fmt::format("relative_position_bias_{}", name(d)), [d] {
                      return Case{Op::relative_position_bias,
                                  {{"max_distance", int64_t{128}}, {"bidirectional", true}},
                                  {values({32, 4}, d, 1), Tensor::zeros(d, {1, 65, 1})},
                                  {0}};
                    }});
  }
  list.push_back({"mask_bias", [] {
                    return Case{Op::mask_bias, {}, {ids({3, 65}, 3)}, {}, true};
                  }});
  list.push_back({"step_scale", [] {
                    return Case{
                        Op::step_scale,
                        {},
                        {Tensor::from({1, 0.25f, 0.26f, -3, 9, 0.5f}, {6}),
                         Tensor::from({0, 0.5f, 1}, {3}), Tensor::from({0.125f, 3, 7}, {3, 1})},
                        {1, 2}};
                  }});
}

void add_hadamard(CaseList& list, const Shape& shape, int64_t block, DType dtype, Data data) {
  list.push_back(
      {fmt::format("hadamard_{}_{}_{}_{}", block, fmt::join(shape, "x"), name(dtype), name(data)),
       [=] {
         return Case{Op::hadamard, {{"block", block}}, {values(shape, dtype, 1, data)}};
       }});
}

void add_quantization_cases(CaseList& list) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const int64_t block : {1, 2, 4, 8, 16, 32, 128, 512}) {
      add_hadamard(list, {2, 3, block}, block, dtype, Data::normal);
    }
    add_hadamard(list, {2, 3072}, 1024, dtype, Data::outliers);
    add_hadamard(list, {3, 4096}, 4096, dtype, Data::normal);
    add_hadamard(list, {2, 17, 96}, 32, dtype, Data::zero_rows);
    add_hadamard(list, {5, 24}, 8, dtype, Data::outliers);
    add_hadamard(list, {7, 64}, 64, dtype, Data::nan);
    add_hadamard(list, {2, 0, 16}, 16, dtype, Data::normal);
    add_hadamard(list, {64}, 4, dtype, Data::normal);
    for (const char* spec :
         {"i8/1x*/dynamic/f32", "i8/*x*/dynamic/f32", "i8/*x*/static/f32", "i8/1x16/dynamic/f16",
          "e4m3/1x*/dynamic/f32", "e4m3/*x*/static/f32", "e5m2/*x*/dynamic/f32",
          "i4/1x16/dynamic/bf16", "e2m1/1x16/dynamic/e4m3", "e3m2/1x*/dynamic/e8m0",
          "e2m2/*x*/static/f32", "e2m1/1x16/dynamic/e4m3*f32", "e4m3/1x8/dynamic/mx",
          "e5m2/1x16/dynamic/mx", "e5m2/1x*/dynamic/mx", "i5/1x16/dynamic/f32"}) {
      add_quantize(list, spec, {2, 17, 64}, dtype, Data::zero_rows, false);
      add_quantize(list, spec, {257, 16}, dtype, Data::outliers, false);
      add_quantize(list, spec, {2, 0, 16}, dtype, Data::normal, false);
    }
    add_quantize(list, "i8/1x*/dynamic/f32", {3, 5, 7, 9}, dtype, Data::normal, true);
    add_quantize(list, "i8/*x*/static/f32", {3, 5, 7, 9}, dtype, Data::normal, true);
    add_quantize(list, "i4/*x*/dynamic/f32", {3, 5, 7, 9}, dtype, Data::normal, true);
  }
  add_dequantize(list, "i8/1x*/dynamic/f32", {2, 17, 65}, DType::f32, false);
  add_dequantize(list, "e4m3/*x*/static/f32", {3, 257}, DType::f32, false);
  add_dequantize(list, "i8/1x*/static/f32", {65, 3, 3, 3}, DType::bf16, true);
  add_dequantize(list, "i4/1x32/static/f16/zp", {17, 64}, DType::f16, true);
  add_dequantize(list, "i8/1x16/static/f32/zp", {17, 64}, DType::f32, true);
  add_dequantize(list, "e2m1/1x16/static/e4m3", {3, 48}, DType::e4m3, true);
  add_dequantize(list, "e3m2/1x32/static/e8m0", {5, 96}, DType::e8m0, true);
  add_dequantize(list, "e2m2/1x*/static/f32", {5, 17}, DType::f32, true);
  add_dequantize(list, "i5/1x32/static/f16", {5, 64}, DType::f16, true);
  add_dequantize(list, "u3/1x9/static/f16/zp", {5, 2, 3, 3}, DType::f16, true);
}

void add_quantized_product_cases(CaseList& list) {
  const std::string row = "i8/1x*/dynamic/f32", tensor = "i8/*x*/static/f32";
  const std::string w_row = "i8/1x*/static/f32", w_tensor = "i8/*x*/static/f32";
  for (const std::string& x : {row, tensor}) {
    for (const std::string& w : {w_row, w_tensor}) {
      for (const std::string to : {"f32", "bf16", "f16"}) {
        add_quantized_linear(list, {.x_spec = x, .w_spec = w, .to = to});
        add_quantized_linear(list,
                             {.x_spec = x, .w_spec = w, .gate = true, .residual = true, .to = to});
        add_quantized_linear(list, {.x_spec = x, .w_spec = w, .activation = "gelu_tanh", .to = to});
      }
      for (const std::string out : {"i8/1x*/dynamic/f32", "i8/*x*/static/f32", "i8/*x*/dynamic/f32",
                                    "e4m3/*x*/static/f32"}) {
        add_quantized_linear(list, {.x_spec = x, .w_spec = w, .out_spec = out});
        add_quantized_linear(list,
                             {.x_spec = x, .w_spec = w, .activation = "silu", .out_spec = out});
      }
      for (const auto& [b, m, k, n] : {std::array<int64_t, 4>{1, 1, 1, 1},
                                       {3, 1, 257, 65},
                                       {2, 65, 3, 17},
                                       {1, 0, 8, 8},
                                       {2, 64, 256, 96}}) {
        add_quantized_linear(list,
                             {.x_spec = x, .w_spec = w, .batch = b, .rows = m, .k = k, .n = n});
      }
    }
  }
  const std::pair<const char*, DType> weights[] = {
      {"i8/1x*/static/f32", DType::f32},       {"i8/1x16/static/f32", DType::f32},
      {"i8/1x32/static/f16/zp", DType::f16},   {"i4/1x32/static/f32", DType::f32},
      {"i4/1x16/static/bf16/zp", DType::bf16}, {"e4m3/1x*/static/f32", DType::f32},
      {"e4m3/*x*/static/f32", DType::f32},     {"e5m2/1x*/static/f32", DType::f32},
      {"e3m2/1x*/static/f32", DType::f32},     {"e2m2/1x*/static/f32", DType::f32},
      {"e2m1/1x16/static/e4m3", DType::e4m3},  {"e2m1/1x32/static/e8m0", DType::e8m0},
      {"i6/1x32/static/f16", DType::f16},      {"u2/1x32/static/f16/zp", DType::f16}};
  for (const auto& [w, scale] : weights) {
    for (const DType x : {DType::f32, DType::bf16, DType::f16}) {
      const std::string to(name(x));
      add_quantized_linear(list, {.x_spec = "", .w_spec = w, .x = x, .to = to, .w_scale = scale});
      add_quantized_linear(list, {.x_spec = "",
                                  .w_spec = w,
                                  .x = x,
                                  .activation = "gelu_tanh",
                                  .gate = true,
                                  .residual = true,
                                  .to = to,
                                  .w_scale = scale});
    }
    for (const char* x : {"e4m3/1x*/dynamic/f32", "e4m3/*x*/static/f32", "i8/1x*/dynamic/f32",
                          "i8/1x16/dynamic/f32", "i4/1x*/dynamic/f32", "e4m3/1x32/dynamic/mx",
                          "e2m1/1x16/dynamic/e4m3*f32"}) {
      if (x[0] == 'i' && std::string(w) == w_row) continue;  // above
      add_quantized_linear(list, {.x_spec = x, .w_spec = w, .w_scale = scale});
      add_quantized_linear(
          list, {.x_spec = x, .w_spec = w, .residual = true, .to = "bf16", .w_scale = scale});
    }
  }
  for (const char* x : {"e4m3/1x*/dynamic/f32", "e4m3/*x*/static/f32"}) {
    for (const char* w : {"e4m3/1x*/static/f32", "e4m3/*x*/static/f32"}) {
      for (const bool gate : {false, true}) {
        add_quantized_linear(list, {.x_spec = x,
                                    .w_spec = w,
                                    .rows = 1040,
                                    .k = 64,
                                    .n = 48,
                                    .gate = gate,
                                    .residual = gate,
                                    .to = "bf16"});
      }
    }
  }
  // Rows of whole 16 bytes, as products on tensor cores want them.
  for (const std::string format : {"e4m3", "i8"}) {
    for (const char* x : {"/1x*/dynamic/f32", "/*x*/static/f32"}) {
      for (const char* w : {"/1x*/static/f32", "/*x*/static/f32"}) {
        QuantizedLinear q{.x_spec = format + x,
                          .w_spec = format + w,
                          .batch = 3,
                          .rows = 50,
                          .k = 272,
                          .n = 112,
                          .to = "bf16"};
        add_quantized_linear(list, q);
        q.gate = q.residual = true;
        add_quantized_linear(list, q);
        q.to = "f32", q.activation = "silu";
        add_quantized_linear(list, q);
        q.gate = q.residual = false, q.activation = "gelu_tanh";
        q.out_spec = format + "/*x*/static/f32";
        add_quantized_linear(list, q);
      }
    }
  }
  // The same with 16-bit activations.
  for (const auto& [w, scale] : {std::pair{"i8/1x*/static/f32", DType::f32},
                                 {"e4m3/1x*/static/f32", DType::f32},
                                 {"i8/*x*/static/f32", DType::f32},
                                 {"i4/1x*/static/f32", DType::f32},
                                 {"i4/1x64/static/f16", DType::f16},
                                 {"i4/1x128/static/f16/zp", DType::f16},
                                 {"i4/1x64/static/bf16/zp", DType::bf16}}) {
    QuantizedLinear q{.x_spec = "",
                      .w_spec = w,
                      .x = DType::bf16,
                      .batch = 3,
                      .rows = 50,
                      .k = 384,
                      .n = 328,
                      .to = "bf16",
                      .w_scale = scale};
    add_quantized_linear(list, q);
    q.gate = q.residual = true, q.activation = "silu";
    add_quantized_linear(list, q);
    q.batch = 1, q.activation = "gelu_tanh";
    add_quantized_linear(list, q);
    q.rows = 300, q.n = 72, q.gate = false, q.activation = "gelu";
    add_quantized_linear(list, q);
  }
  for (const std::string out :
       {"e4m3/1x*/dynamic/f32", "e4m3/*x*/static/f32", "i8/1x*/dynamic/f32"}) {
    add_quantized_linear(list, {.x_spec = "e4m3/1x*/dynamic/f32",
                                .w_spec = "e4m3/1x*/static/f32",
                                .activation = out[0] == 'i' ? "none" : "gelu_tanh",
                                .out_spec = out});
  }
  for (const char* x : {"i8/*x*/static/f32", "i8/1x*/dynamic/f32", "e4m3/*x*/dynamic/f32", ""}) {
    for (const char* w : {"i8/1x*/static/f32", "e4m3/1x*/static/f32", "i8/1x9/static/f32/zp"}) {
      for (const char* to : {"f32", "bf16"}) {
        add_quantized_conv(list, x, w, {2, 5, 9, 17}, 7, 3, 1, false, to);
        add_quantized_conv(list, x, w, {1, 32, 16, 16}, 32, 3, 1, true, to);
      }
      add_quantized_conv(list, x, w, {1, 18, 8, 8}, 17, 3, 2, false, "f32");
    }
    add_quantized_conv(list, x, "i8/*x*/static/f32", {1, 16, 3, 65}, 33, 1, 1, true, "f32");
  }
}

}  // namespace octavo::test
