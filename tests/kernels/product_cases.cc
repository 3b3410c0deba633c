// linear and conv2d.
#include "base/check.h"
#include "kernels/cases.h"

namespace octavo::test {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};

struct LinearShape {
  int64_t batch, rows, k, n;
};
constexpr LinearShape kLinearShapes[] = {{1, 1, 1, 1},     {1, 3, 17, 65}, {2, 17, 65, 3},
                                         {1, 65, 257, 17}, {2, 0, 8, 4},   {3, 1, 16, 257},
                                         {2, 64, 256, 96}, {1, 5, 0, 7}};

struct Epilogue {
  const char* name;
  bool bias, gate, residual;
  const char* activation;
  const char* out_spec;  // or nullptr
};
constexpr Epilogue kEpilogues[] = {
    {"plain", false, false, false, "none", nullptr},
    {"bias", true, false, false, "none", nullptr},
    {"silu", true, false, false, "silu", nullptr},
    {"gelu", true, false, false, "gelu", nullptr},
    {"gelu_tanh", true, false, false, "gelu_tanh", nullptr},
    {"gate", false, true, false, "none", nullptr},
    {"residual", false, false, true, "none", nullptr},
    {"all", true, true, true, "gelu_tanh", nullptr},
    {"to_i8_row", true, false, false, "none", "i8/1x*/dynamic/f32"},
    {"to_i8_tensor", true, false, false, "gelu_tanh", "i8/*x*/static/f32"},
    {"to_i8_dynamic", true, true, true, "none", "i8/*x*/dynamic/f32"},
    {"to_e4m3_static", true, false, false, "silu", "e4m3/*x*/static/f32"},
    {"to_e4m3_row", true, false, false, "none", "e4m3/1x*/dynamic/f32"},
};

Case linear_case(const LinearShape& s, DType x, DType w, const Epilogue& e, Data data) {
  Case c{Op::linear, {{"activation", std::string(e.activation)}}, {}, {1, 2}};
  c.inputs = {values({s.batch, s.rows, s.k}, x, 1, data),
              values({s.n, s.k}, w, 2, Data::normal, 0.2f),
              std::nullopt,
              std::nullopt,
              std::nullopt,
              std::nullopt};
  if (e.bias) c.inputs[2] = values({s.n}, w, 3);
  if (e.gate) c.inputs[3] = values({s.batch, s.n}, x, 4);
  if (e.residual) c.inputs[4] = values({s.batch, s.rows, s.n}, x, 5);
  c.sparse = s.k == 0;
  if (!e.out_spec) return c;
  const std::string spec = e.out_spec;
  c.attrs.set("out_spec", spec);
  if (spec.find("static") != spec.npos) c.inputs[5] = Tensor::from({0.03f}, {1, 1});
  return c;
}

void add_linear(CaseList& list, const LinearShape& s, DType x, DType w, const Epilogue& e,
                Data data) {
  list.push_back({fmt::format("linear_{}_{}_{}x{}x{}x{}_{}_{}", name(x), name(w), s.batch, s.rows,
                              s.k, s.n, e.name, name(data)),
                  [=] { return linear_case(s, x, w, e, data); }});
}

struct ConvShape {
  int64_t batch, channels, height, width, filters, kernel, stride;
  std::vector<int64_t> pads;
};
const ConvShape kConvShapes[] = {
    {1, 1, 1, 1, 1, 1, 1, {0, 0, 0, 0}},    {2, 3, 17, 9, 5, 3, 1, {1, 1, 1, 1}},
    {1, 8, 16, 16, 16, 3, 2, {0, 0, 1, 1}}, {1, 17, 5, 65, 3, 3, 1, {1, 1, 1, 1}},
    {2, 16, 8, 8, 33, 1, 1, {0, 0, 0, 0}},  {1, 4, 3, 3, 2, 3, 1, {2, 0, 3, 1}},
    {0, 4, 3, 3, 2, 3, 1, {1, 1, 1, 1}},    {1, 32, 8, 16, 24, 3, 1, {1, 1, 1, 1}},
    {1, 3, 7, 7, 4, 5, 3, {2, 2, 2, 2}}};

Case conv_case(const ConvShape& s, DType dtype, bool bias, bool residual, Data data) {
  Case c{Op::conv2d, {{"stride", s.stride}, {"pads", s.pads}}, {}, {1, 2}};
  c.inputs = {values({s.batch, s.channels, s.height, s.width}, dtype, 1, data),
              values({s.filters, s.channels, s.kernel, s.kernel}, dtype, 2, Data::normal, 0.2f),
              std::nullopt, std::nullopt};
  if (bias) c.inputs[2] = values({s.filters}, dtype, 3);
  const int64_t room_h = s.height + s.pads[0] + s.pads[2] - s.kernel;
  const int64_t room_w = s.width + s.pads[1] + s.pads[3] - s.kernel;
  const Shape out{s.batch, s.filters, room_h / s.stride + 1, room_w / s.stride + 1};
  if (residual) c.inputs[3] = values(out, dtype, 4);
  return c;
}

void add_conv(CaseList& list, const ConvShape& s, DType dtype, bool bias, bool residual,
              Data data) {
  list.push_back({fmt::format("conv2d_{}_{}x{}x{}x{}_{}_k{}_s{}{}{}_{}", name(dtype), s.batch,
                              s.channels, s.height, s.width, s.filters, s.kernel, s.stride,
                              bias ? "_bias" : "", residual ? "_residual" : "", name(data)),
                  [=] { return conv_case(s, dtype, bias, residual, data); }});
}

}  // namespace

void add_product_cases(CaseList& list) {
  const LinearShape usual = kLinearShapes[6], odd = {2, 33, 41, 19};
  for (const DType dtype : kTypes) {
    for (const LinearShape& s : kLinearShapes) {
      add_linear(list, s, dtype, dtype, kEpilogues[1], Data::normal);
    }
    for (const Epilogue& e : kEpilogues) {
      add_linear(list, usual, dtype, dtype, e, Data::zero_rows);
      add_linear(list, odd, dtype, dtype, e, Data::normal);
    }
    add_linear(list, usual, dtype, dtype, kEpilogues[0], Data::outliers);
    for (const size_t e : {1, 2, 3, 4, 7}) {
      add_linear(list, odd, dtype, dtype, kEpilogues[e], Data::nan);
    }
    add_linear(list, odd, dtype, dtype, kEpilogues[8], Data::outliers);
  }
  add_linear(list, usual, DType::f32, DType::bf16, kEpilogues[7], Data::normal);
  add_linear(list, usual, DType::bf16, DType::f32, kEpilogues[7], Data::normal);
  add_linear(list, usual, DType::f32, DType::e4m3, kEpilogues[1], Data::normal);
  for (const DType dtype : kTypes) {
    for (const ConvShape& s : kConvShapes) add_conv(list, s, dtype, true, false, Data::normal);
    add_conv(list, kConvShapes[1], dtype, false, true, Data::normal);
    add_conv(list, kConvShapes[7], dtype, true, true, Data::outliers);
    add_conv(list, kConvShapes[4], dtype, true, true, Data::zero_rows);
    add_conv(list, kConvShapes[1], dtype, true, false, Data::nan);
  }
}

}  // namespace octavo::test
