// Attention, normalisation, rotary positions, element-wise ops.
#include <limits>

#include "base/check.h"
#include "kernels/cases.h"
#include "support.h"

namespace octavo::test {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};
constexpr int64_t kSizes[] = {1, 3, 17, 65, 257};

struct AttentionShape {
  int64_t batch, queries, keys, heads, kv_heads, depth;
};
constexpr AttentionShape kAttentionShapes[] = {
    {1, 1, 1, 1, 1, 1},    {2, 3, 17, 4, 2, 8}, {1, 65, 65, 2, 2, 17}, {1, 17, 257, 1, 1, 64},
    {1, 48, 80, 2, 2, 64}, {1, 0, 5, 2, 2, 16}, {1, 3, 3, 6, 1, 65},   {1, 32, 33, 1, 1, 512}};

enum class Bias { none, mask, full, heads, lowest_row, infinite_row };
constexpr const char* kBiasNames[] = {"plain", "mask",       "full",
                                      "heads", "lowest_row", "infinite_row"};

std::optional<Tensor> attention_bias(const AttentionShape& s, Bias bias) {
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  if (bias == Bias::none) return std::nullopt;
  if (bias == Bias::heads) return values({1, s.heads, s.queries, s.keys}, DType::f32, 9);
  if (bias == Bias::mask) {
    Tensor t = Tensor::zeros(DType::f32, {s.batch, 1, 1, s.keys});
    for (int64_t i = 0; i < t.elements(); ++i) {
      t.as_mutable<float>()[i] = i % s.keys > s.keys / 2 + i / s.keys ? kLowest : 0.0f;
    }
    return t;
  }
  Tensor t = values({s.batch, s.heads, s.queries, s.keys}, DType::f32, 9);
  if (bias == Bias::full) return t;
  const float low = bias == Bias::lowest_row ? kLowest : -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < t.elements(); ++i) {
    if (i / s.keys % 4 == 1) t.as_mutable<float>()[i] = low;
  }
  return t;
}

void add_attention(CaseList& list, const AttentionShape& s, DType dtype, Bias bias, float scale,
                   Data data = Data::normal) {
  list.push_back(
      {fmt::format("attention_{}_{}x{}x{}_h{}_{}_d{}_{}_{}", name(dtype), s.batch, s.queries,
                   s.keys, s.heads, s.kv_heads, s.depth, kBiasNames[static_cast<size_t>(bias)],
                   scale > 1 ? "peaked" : name(data)),
       [=] {
         Case c{Op::attention, {{"scale", 1 / std::sqrt(static_cast<double>(s.depth))}}, {}};
         c.inputs = {values({s.batch, s.queries, s.heads, s.depth}, dtype, 1, data, scale),
                     values({s.batch, s.keys, s.kv_heads, s.depth}, dtype, 2),
                     values({s.batch, s.keys, s.kv_heads, s.depth}, dtype, 3),
                     attention_bias(s, bias), std::nullopt};
         return c;
       }});
}

// With rounded weights, or codes as its result.
void add_attention(CaseList& list, const AttentionShape& s, DType dtype, const std::string& weights,
                   const std::string& spec) {
  list.push_back(
      {fmt::format("attention_{}_{}x{}x{}_d{}{}{}", name(dtype), s.batch, s.queries, s.keys,
                   s.depth, weights.empty() ? "" : "_weights_" + weights,
                   spec.empty() ? "" : "_to_" + spec.substr(0, spec.find('/'))),
       [=] {
         Case c{Op::attention, {{"scale", 1 / std::sqrt(static_cast<double>(s.depth))}}, {}};
         c.inputs = {values({s.batch, s.queries, s.heads, s.depth}, dtype, 1),
                     values({s.batch, s.keys, s.kv_heads, s.depth}, dtype, 2),
                     values({s.batch, s.keys, s.kv_heads, s.depth}, dtype, 3), std::nullopt,
                     std::nullopt};
         if (!weights.empty()) c.attrs.set("weights", weights);
         if (spec.empty()) return c;
         c.attrs.set("out_spec", spec);
         c.inputs[4] = Tensor::from({0.004f}, {1, 1});
         return c;
       }});
}

void add_norm(CaseList& list, Op op, Shape shape, DType dtype, bool affine, Data data,
              float offset) {
  std::string text;
  for (const int64_t d : shape) text += fmt::format("_{}", d);
  list.push_back({fmt::format("{}_{}{}{}{}_{}", name(op), name(dtype), text,
                              affine ? "_affine" : "", offset != 0 ? "_offset" : "", name(data)),
                  [=] {
                    Case c{op, {{"eps", 1e-6}}, {}, {1, 2}};
                    Tensor x = values(shape, DType::f32, 1, data, 3);
                    for (int64_t i = 0; i < x.elements(); ++i) x.as_mutable<float>()[i] += offset;
                    const int64_t d = shape.back();
                    c.inputs = {x.to(dtype), std::nullopt};
                    if (affine) c.inputs[1] = values({d}, dtype, 2);
                    if (op == Op::layer_norm) c.inputs.emplace_back();
                    if (op == Op::layer_norm && affine) c.inputs[2] = values({d}, dtype, 3);
                    if (op == Op::rms_norm) c.constants = {1};
                    c.sparse = op == Op::layer_norm && d == 1 && !affine;
                    return c;
                  }});
}

void add_group_norm(CaseList& list, Shape shape, int64_t groups, DType dtype, bool silu,
                    Data data) {
  list.push_back({fmt::format("group_norm_{}_{}x{}x{}x{}_g{}{}_{}", name(dtype), shape[0], shape[1],
                              shape[2], shape[3], groups, silu ? "_silu" : "", name(data)),
                  [=] {
                    const std::string activation = silu ? "silu" : "none";
                    Case c{Op::group_norm,
                           {{"groups", groups}, {"eps", 1e-6}, {"activation", activation}},
                           {values(shape, dtype, 1, data, 3), values({shape[1]}, dtype, 2),
                            values({shape[1]}, dtype, 3)},
                           {1, 2}};
                    return c;
                  }});
}

void add_norm_modulate(CaseList& list, Shape shape, DType dtype, const std::string& spec,
                       Data data) {
  const std::string out = spec.empty() ? "" : "_to_" + spec.substr(0, spec.find('/'));
  const bool dynamic = spec.find("dynamic") != spec.npos;
  list.push_back({fmt::format("norm_modulate_{}_{}x{}x{}{}{}_{}", name(dtype), shape[0], shape[1],
                              shape[2], out, dynamic ? "_dynamic" : "", name(data)),
                  [=] {
                    Case c{Op::norm_modulate, {{"eps", 1e-6}}, {}};
                    c.inputs = {values(shape, dtype, 1, data, 3),
                                values({shape[0], shape[2]}, dtype, 2),
                                values({shape[0], shape[2]}, dtype, 3), std::nullopt};
                    if (!spec.empty()) c.attrs.set("out_spec", spec);
                    if (!spec.empty() && !dynamic) c.inputs[3] = Tensor::from({0.05f}, {1, 1});
                    return c;
                  }});
}

// cos and sin of angles that fill the circle.
Tensor angles(int64_t rows, int64_t columns, bool cos) {
  Tensor t = Tensor::empty(DType::f32, {rows, columns});
  for (int64_t i = 0; i < t.elements(); ++i) {
    const double angle = 0.37 * static_cast<double>(i);
    t.as_mutable<float>()[i] = static_cast<float>(cos ? std::cos(angle) : std::sin(angle));
  }
  return t;
}

void add_rope(CaseList& list, Op op, Shape shape, DType dtype, Data data,
              const std::string& spec = "") {
  const std::string out = spec.empty() ? "" : "_to_" + spec.substr(0, spec.find('/'));
  list.push_back({fmt::format("{}_{}_{}x{}x{}x{}{}_{}", name(op), name(dtype), shape[0], shape[1],
                              shape[2], shape[3], out, name(data)),
                  [=] {
                    Case c{op, {}, {values(shape, dtype, 1, data)}};
                    if (op == Op::qk_norm_rope) {
                      c.attrs.set("eps", 1e-6);
                      c.inputs.emplace_back(values({shape[3]}, dtype, 2));
                      c.constants = {1};
                    }
                    c.inputs.emplace_back(angles(shape[1], shape[3] / 2, true));
                    c.inputs.emplace_back(angles(shape[1], shape[3] / 2, false));
                    if (op == Op::qk_norm_rope) c.inputs.emplace_back();
                    if (spec.empty()) return c;
                    c.attrs.set("out_spec", spec);
                    c.inputs.back() = Tensor::from({0.02f}, {1, 1});
                    c.sparse = data == Data::outliers;  // the others of their rows
                    return c;
                  }});
}

void add_unary(CaseList& list, Op op, const Attrs& attrs, const char* suffix, int64_t n,
               DType dtype, Data data) {
  list.push_back({fmt::format("{}{}_{}_{}_{}", name(op), suffix, name(dtype), n, name(data)), [=] {
                    return Case{op, attrs, {values({n}, dtype, 1, data, 4)}};
                  }});
}

void add_binary(CaseList& list, Op op, Shape a, Shape b, DType dtype) {
  list.push_back(
      {fmt::format("{}_{}_{}_{}", name(op), name(dtype), fmt::join(a, "x"), fmt::join(b, "x")),
       [=] {
         return Case{op, {}, {values(a, dtype, 1), values(b, dtype, 2)}};
       }});
}

}  // namespace

void add_attention_cases(CaseList& list) {
  for (const DType dtype : kTypes) {
    for (const AttentionShape& s : kAttentionShapes) {
      add_attention(list, s, dtype, Bias::none, 1);
    }
    for (const Bias bias :
         {Bias::mask, Bias::full, Bias::heads, Bias::lowest_row, Bias::infinite_row}) {
      add_attention(list, kAttentionShapes[1], dtype, bias, 1);
      add_attention(list, kAttentionShapes[4], dtype, bias, 1);
    }
    add_attention(list, kAttentionShapes[2], dtype, Bias::none, 30);
    add_attention(list, kAttentionShapes[4], dtype, Bias::none, 1, Data::nan);
    for (const size_t shape : {1, 2, 3, 5}) {
      for (const char* weights : {"e4m3", "e5m2", "i8"}) {
        add_attention(list, kAttentionShapes[shape], dtype, weights, "");
      }
      for (const char* spec : {"e4m3/*x*/static/f32", "i8/*x*/static/f32", "e5m2/*x*/static/f32"}) {
        add_attention(list, kAttentionShapes[shape], dtype, "", spec);
      }
    }
    // Tiles of Hopper's kernel, whole and cut.
    for (const char* spec : {"", "e4m3/*x*/static/f32"}) {
      add_attention(list, {1, 200, 700, 3, 1, 128}, dtype, "", spec);
    }
  }
}

void add_norm_cases(CaseList& list) {
  for (const DType dtype : kTypes) {
    for (const Op op : {Op::rms_norm, Op::layer_norm}) {
      for (const int64_t d : kSizes) add_norm(list, op, {2, 3, d}, dtype, true, Data::normal, 0);
      add_norm(list, op, {5, 256}, dtype, false, Data::zero_rows, 0);
      add_norm(list, op, {65, 64}, dtype, true, Data::outliers, 0);
      add_norm(list, op, {7, 64}, dtype, true, Data::nan, 0);
      add_norm(list, op, {0, 64}, dtype, true, Data::normal, 0);
      add_norm(list, op, {17, 128}, dtype, true, Data::normal, 100);
    }
    for (const bool silu : {false, true}) {
      add_group_norm(list, {2, 32, 9, 7}, 8, dtype, silu, Data::normal);
      add_group_norm(list, {1, 6, 1, 1}, 3, dtype, silu, Data::normal);
      add_group_norm(list, {1, 64, 16, 16}, 32, dtype, silu, Data::outliers);
      add_group_norm(list, {3, 8, 1, 9}, 4, dtype, silu, Data::nan);
      add_group_norm(list, {0, 4, 3, 3}, 2, dtype, silu, Data::normal);
    }
    for (const char* spec : {"", "i8/1x*/dynamic/f32", "i8/*x*/static/f32", "e4m3/*x*/dynamic/f32",
                             "e4m3/*x*/static/f32"}) {
      add_norm_modulate(list, {2, 17, 65}, dtype, spec, Data::normal);
      add_norm_modulate(list, {2, 64, 256}, dtype, spec, Data::zero_rows);
    }
    add_norm_modulate(list, {3, 1, 257}, dtype, "", Data::outliers);
    add_norm_modulate(list, {2, 5, 64}, dtype, "", Data::nan);
    add_norm_modulate(list, {2, 0, 16}, dtype, "", Data::normal);
  }
}

void add_rotary_cases(CaseList& list) {
  for (const DType dtype : kTypes) {
    for (const Op op : {Op::rope, Op::qk_norm_rope}) {
      add_rope(list, op, {1, 1, 1, 2}, dtype, Data::normal);
      add_rope(list, op, {2, 17, 3, 10}, dtype, Data::normal);
      add_rope(list, op, {2, 65, 4, 64}, dtype, Data::zero_rows);
      add_rope(list, op, {1, 3, 24, 128}, dtype, Data::outliers);
      add_rope(list, op, {1, 5, 2, 64}, dtype, Data::nan);
      add_rope(list, op, {1, 0, 2, 8}, dtype, Data::normal);
    }
    for (const char* spec : {"e4m3/*x*/static/f32", "i8/*x*/static/f32", "e5m2/*x*/static/f32"}) {
      add_rope(list, Op::qk_norm_rope, {2, 17, 3, 10}, dtype, Data::normal, spec);
      add_rope(list, Op::qk_norm_rope, {2, 65, 4, 64}, dtype, Data::zero_rows, spec);
      add_rope(list, Op::qk_norm_rope, {1, 70, 24, 128}, dtype, Data::outliers, spec);
      add_rope(list, Op::qk_norm_rope, {1, 0, 2, 8}, dtype, Data::normal, spec);
    }
  }
  list.push_back({"rope_table_flux", [] {
                    Tensor ids = Tensor::zeros(DType::f32, {257, 3});
                    for (int64_t i = 0; i < 257; ++i) {
                      ids.as_mutable<float>()[3 * i + 1] = static_cast<float>(i / 16);
                      ids.as_mutable<float>()[3 * i + 2] = static_cast<float>(i % 16);
                    }
                    return Case{Op::rope_table,
                                {{"axes", std::vector<int64_t>{16, 56, 56}}, {"theta", 10000.0}},
                                {ids}};
                  }});
}

void add_pointwise_cases(CaseList& list) {
  const Attrs tanh{{"approximate", std::string("tanh")}}, erf{{"approximate", std::string("none")}};
  const Attrs affine{{"scale", 0.18215}, {"shift", -0.3}}, clamp{{"min", -1.5}, {"max", 2.0}};
  for (const DType dtype : kTypes) {
    for (const int64_t n : {int64_t{0}, int64_t{1}, int64_t{17}, int64_t{257}, int64_t{20001}}) {
      for (const Data data : {Data::normal, Data::outliers, Data::nan}) {
        add_unary(list, Op::silu, {}, "", n, dtype, data);
        add_unary(list, Op::gelu, tanh, "_tanh", n, dtype, data);
        add_unary(list, Op::gelu, erf, "_erf", n, dtype, data);
        add_unary(list, Op::affine, affine, "", n, dtype, data);
        add_unary(list, Op::clamp, clamp, "", n, dtype, data);
      }
    }
    for (const DType to : {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i32}) {
      const std::string text(name(to));
      for (const int64_t n : {int64_t{17}, int64_t{9001}}) {
        add_unary(list, Op::cast, {{"to", text}}, ("_" + text).c_str(), n, dtype, Data::normal);
      }
    }
    for (const Op op : {Op::add, Op::sub, Op::mul, Op::div}) {
      add_binary(list, op, {257}, {257}, dtype);
      add_binary(list, op, {2, 65, 17}, {2, 65, 17}, dtype);
      add_binary(list, op, {2, 65, 17}, {17}, dtype);
      add_binary(list, op, {2, 65, 17}, {2, 1, 17}, dtype);
      add_binary(list, op, {3, 1}, {2, 1, 65}, dtype);
      add_binary(list, op, {2, 3, 0}, {3, 1}, dtype);
      add_binary(list, op, {1}, {3, 16, 128}, dtype);
    }
  }
  for (const char* spec : {"i8/1x*/dynamic/f32", "i8/*x*/static/f32", "e4m3/*x*/dynamic/f32"}) {
    const std::string text = spec;
    const bool is_static = text.find("static") != text.npos;
    list.push_back({fmt::format("gelu_to_{}{}", text.substr(0, text.find('/')),
                                is_static ? "_static" : "_dynamic"),
                    [=] {
                      Case c{Op::gelu,
                             {{"approximate", std::string("tanh")}, {"out_spec", text}},
                             {values({2, 17, 65}, DType::f32, 1, Data::zero_rows), std::nullopt}};
                      if (is_static) c.inputs[1] = Tensor::from({0.02f}, {1, 1});
                      return c;
                    }});
  }
}

}  // namespace octavo::test
