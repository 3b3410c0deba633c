// Attention over codes.
#include <cmath>
#include <limits>

#include "kernels/cases.h"
#include "octavo/quant_spec.h"
#include "support.h"
#include "tensor/quantize.h"

namespace octavo::test {
namespace {

const std::string kWhole = "e4m3/*x*/static/f32", kRow = "e4m3/1x*/dynamic/f32";

struct Attention {
  int64_t batch = 2, queries = 17, keys = 65, heads = 2, kv_heads = 2, depth = 128;
  std::string q = kWhole, k = kWhole, v = kWhole, weights = "e4m3", to = "bf16", out = {};
  bool mask = false;
  float peak = 1;  // factor on scores
  Data data = Data::normal;
};

std::string format_of(const std::string& spec) { return spec.substr(0, spec.find('/')); }

std::string case_name(const Attention& a) {
  const char* timing = a.q.find("dynamic") == a.q.npos ? "" : "_dynamic";
  return fmt::format("quantized_attention_{}{}_{}_{}x{}x{}_h{}_{}_d{}_weights_{}_to_{}{}{}_{}",
                     format_of(a.q), timing, format_of(a.v), a.batch, a.queries, a.keys, a.heads,
                     a.kv_heads, a.depth, a.weights,
                     a.out.empty() ? a.to : format_of(a.out) + "_codes", a.mask ? "_mask" : "",
                     a.peak > 1 ? "_peaked" : "", name(a.data));
}

// Codes and scales of values that are of the order of `size`.
void add_operand(Case& c, const Shape& shape, const std::string& text, uint64_t seed, Data data,
                 float size) {
  const QuantSpec spec = QuantSpec::parse(text);
  const float unit = spec.format == "i8" ? 40.0f : 1.0f;
  c.inputs.emplace_back(values(shape, *find_dtype(spec.format), seed, data, unit));
  const auto [rows, cols] = matrix_extents(shape, MatrixView::activation);
  Tensor scale = Tensor::empty(DType::f32, spec.scale_shape(rows, cols));
  for (int64_t i = 0; i < scale.elements(); ++i) {
    scale.as_mutable<float>()[i] = size / unit * (0.75f + 0.1f * static_cast<float>(i % 7));
  }
  c.inputs.emplace_back(scale);
}

Tensor mask_of(const Attention& a) {
  Tensor mask = Tensor::zeros(DType::f32, {a.batch, 1, 1, a.keys});
  for (int64_t i = 0; i < mask.elements(); i += 3) {
    mask.as_mutable<float>()[i] = std::numeric_limits<float>::lowest();
  }
  return mask;
}

Case make(const Attention& a) {
  Case c{Op::quantized_attention,
         {{"scale", 1 / std::sqrt(static_cast<double>(a.depth))},
          {"q_spec", a.q},
          {"k_spec", a.k},
          {"v_spec", a.v}},
         {}};
  if (a.weights != "none") c.attrs.set("weights", a.weights);
  if (a.to != "f32") c.attrs.set("to", a.to);
  const Shape keys{a.batch, a.keys, a.kv_heads, a.depth};
  add_operand(c, {a.batch, a.queries, a.heads, a.depth}, a.q, 1, a.data, a.peak);
  add_operand(c, keys, a.k, 2, a.data, 1);
  add_operand(c, keys, a.v, 3, a.data, 1);
  c.inputs.resize(8);
  if (a.mask) c.inputs[6] = mask_of(a);
  if (a.out.empty()) return c;
  c.attrs.set("out_spec", a.out);
  c.inputs[7] = Tensor::from({0.004f}, {1, 1});
  return c;
}

void add(CaseList& list, const Attention& a) {
  list.push_back({case_name(a), [=] { return make(a); }});
}

void add_awkward_extents(CaseList& list, const Attention& base) {
  for (const int64_t keys : {1, 63, 64, 192, 193, 400}) {
    Attention a = base;
    a.keys = keys, a.batch = 1, a.queries = keys > 200 ? 130 : 3;
    add(list, a);
  }
  Attention many = base;
  many.batch = 3, many.queries = 300, many.keys = 70, many.heads = 4, many.kv_heads = 1;
  add(list, many);
  Attention none = base;
  none.queries = 0;
  add(list, none);
}

}  // namespace

void add_quantized_attention_cases(CaseList& list) {
  const std::string i8 = "i8/*x*/static/f32", e5m2 = "e5m2/*x*/static/f32";
  add(list, {});
  for (const char* to : {"f32", "f16"}) add(list, {.to = to});
  for (const std::string& out : {kWhole, i8, e5m2}) add(list, {.keys = 257, .out = out});
  add_awkward_extents(list, {});
  add_awkward_extents(list, {.out = kWhole});
  add(list, {.keys = 400, .peak = 20});
  for (const Data data : {Data::outliers, Data::zero_rows}) add(list, {.data = data});
  add(list, {.to = "f32", .mask = true});
  add(list, {.mask = true});
  add(list, {.mask = true, .data = Data::zero_rows});
  for (const int64_t depth : {8, 17, 64, 160}) add(list, {.depth = depth});
  add(list, {.weights = "none"});
  for (const char* weights : {"i8", "e5m2"}) add(list, {.weights = weights});
  add(list, {.q = kRow, .k = kRow, .v = kRow});
  add(list, {.q = kRow, .k = kRow, .v = i8, .to = "f32"});
  add(list, {.q = i8, .k = i8});
  add(list, {.q = i8, .k = i8, .v = i8, .weights = "i8"});
  add(list, {.q = "e2m1/1x16/dynamic/f32", .k = kRow, .to = "f32"});
}

}  // namespace octavo::test
