// Products over codes instead of over what the codes stand for:
//   linear(dequantize(x, xs), dequantize(w, ws, wz), ...)  ->  quantized_linear(x, xs, w, ws, wz,
//   ...) linear(x, dequantize(w, ws, wz), ...)                  ->  quantized_linear(x, _, w, ws,
//   wz, ...)
// and conv2d alike, and
//   attention(dequantize(q, qs), dequantize(k, ks), dequantize(v, vs), bias)
//     ->  quantized_attention(q, qs, k, ks, v, vs, bias)
// A cast behind a dequantize (lower_precision puts one there) is seen through;
// the product's type is kept. Works before and after the epilogue fusions.
#include "octavo/quant_spec.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

const Node* match_dequantize(const Pattern& pattern, ValueId value) {
  const Node* cast = pattern.made_by(value, {Op::cast});
  return pattern.made_by(cast ? cast->inputs[0] : value, {Op::dequantize});
}

// Whether its tiles are those of this matrix view. On two axes both views are the same.
bool has_view(const Pattern& pattern, const Node& dequantize, bool first) {
  if (pattern.type(dequantize.inputs[0]).shape.size() == 2) return true;
  return (dequantize.attrs.get_string_or("rows", "leading") == "first") == first;
}

// Activations: no zero point, f32 scale, and a static scale does not follow the rows.
bool is_activation(const Pattern& pattern, const Node& dequantize) {
  const QuantSpec spec = QuantSpec::parse(dequantize.attrs.get_string("spec"));
  return !spec.zero_point && pattern.type(dequantize.inputs[1]).dtype == DType::f32 &&
         (spec.timing == QuantSpec::Timing::dynamic || spec.tile_rows == 0);
}

// An operand that is codes, or nullptr.
const Node* match_activation(const Pattern& pattern, ValueId value, bool first) {
  const Node* node = match_dequantize(pattern, value);
  return node && has_view(pattern, *node, first) && is_activation(pattern, *node) ? node : nullptr;
}

void set_type(const Pattern& pattern, ValueId value, Attrs& attrs) {
  const DType type = pattern.type(value).dtype;
  if (type != DType::f32) attrs.set("to", std::string(name(type)));
}

bool fuse_product(GraphRebuilder& rebuilder, const Pattern& pattern, const Node& node) {
  const bool conv = node.op == Op::conv2d;
  const Node* w = match_dequantize(pattern, node.inputs[1]);
  if (!w || !has_view(pattern, *w, true)) return false;
  const Node* x = match_activation(pattern, node.inputs[0], conv);

  Attrs attrs = node.attrs;
  attrs.set("w_spec", w->attrs.get_string("spec"));
  std::vector<ValueId> inputs{node.inputs[0], kNoValue};
  if (x) {
    inputs = {x->inputs[0], x->inputs[1]};
    attrs.set("x_spec", x->attrs.get_string("spec"));
    set_type(pattern, node.inputs[0], attrs);
  }
  inputs.insert(inputs.end(), w->inputs.begin(), w->inputs.end());
  inputs.insert(inputs.end(), node.inputs.begin() + 2, node.inputs.end());
  replace(rebuilder, pattern.graph(), node, conv ? Op::quantized_conv2d : Op::quantized_linear,
          map_all(rebuilder, inputs), attrs);
  return true;
}

bool fuse_attention(GraphRebuilder& rebuilder, const Pattern& pattern, const Node& node) {
  constexpr const char* kSpecs[] = {"q_spec", "k_spec", "v_spec"};
  constexpr size_t kOperands = 3;
  Attrs attrs = node.attrs;
  std::vector<ValueId> inputs;
  for (size_t i = 0; i < kOperands; ++i) {
    const Node* codes = match_activation(pattern, node.inputs[i], false);
    if (!codes) return false;
    inputs.insert(inputs.end(), {codes->inputs[0], codes->inputs[1]});
    attrs.set(kSpecs[i], codes->attrs.get_string("spec"));
  }
  set_type(pattern, node.inputs[0], attrs);
  inputs.insert(inputs.end(), node.inputs.begin() + kOperands, node.inputs.end());
  replace(rebuilder, pattern.graph(), node, Op::quantized_attention, map_all(rebuilder, inputs),
          attrs);
  return true;
}

}  // namespace

Graph fuse_quantized(const Graph& graph, bool attention) {
  const Pattern pattern(graph);
  return rewrite_nodes(graph, [&](GraphRebuilder& rebuilder, const Node& node) {
    if (node.op == Op::attention) return attention && fuse_attention(rebuilder, pattern, node);
    if (node.op != Op::linear && node.op != Op::conv2d) return false;
    return fuse_product(rebuilder, pattern, node);
  });
}

}  // namespace octavo
