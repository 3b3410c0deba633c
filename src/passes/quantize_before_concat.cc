// Codes are joined instead of values: fewer bytes move, and a part's producer can write its codes.
//   c = concat(a, b); q, s = quantize(c, scale)
//     ->  qa = quantize(a, scale); qb = quantize(b, scale); q = concat(qa, qb)
// for one given scale over the whole tensor, where a part's producer takes an out_spec.
#include <algorithm>

#include "octavo/quant_spec.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

bool is_one_given_scale(const QuantSpec& spec) {
  return spec.timing == QuantSpec::Timing::static_ && spec.tile_rows == 0 && spec.tile_cols == 0;
}

bool can_write_codes(const Pattern& pattern, ValueId part) {
  const Node* producer =
      pattern.made_by(part, {Op::norm_modulate, Op::linear, Op::quantized_linear, Op::gelu});
  return producer && pattern.vanishes(part) && !producer->attrs.has("out_spec");
}

}  // namespace

Graph quantize_before_concat(const Graph& graph) {
  const Pattern pattern(graph);
  return rewrite_nodes(graph, [&](GraphRebuilder& rebuilder, const Node& node) {
    if (node.op != Op::quantize || !pattern.vanishes(node.inputs[0])) return false;
    if (!is_one_given_scale(QuantSpec::parse(node.attrs.get_string("spec")))) return false;
    const Node* concat = pattern.made_by(node.inputs[0], {Op::concat});
    const auto fusible = [&](ValueId part) { return can_write_codes(pattern, part); };
    if (!concat || !std::any_of(concat->inputs.begin(), concat->inputs.end(), fusible)) {
      return false;
    }
    const std::string& name = graph.value(node.outputs[0]).name;
    const ValueId scale = rebuilder.map(node.inputs[1]);
    std::vector<ValueId> codes;
    for (const ValueId part : concat->inputs) {
      const std::string own = fresh_name(graph, rebuilder.graph(), name + ".part");
      codes.push_back(
          rebuilder.graph().add(Op::quantize, {rebuilder.map(part), scale}, node.attrs, own));
    }
    rebuilder.set(node.outputs[0],
                  rebuilder.graph().add_named(Op::concat, codes, concat->attrs, {name}).front());
    rebuilder.set(node.outputs[1], scale);
    return true;
  });
}

}  // namespace octavo
