// Adaptive layer norm, scale and shift per sample:
//   n = layer_norm(x); f = affine(scale) {1, 1}; m = mul(n, f); y = add(m, shift)
//     ->  y = norm_modulate(x, scale, shift)
// for a norm without parameters, scale and shift [B, 1, D] (or [B, D] before a reshape), operands
// in either order. The norm may be of a lower rate than the modulation: it is cheap.
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

struct Match {
  const Node* norm = nullptr;
  ValueId scale = kNoValue, shift = kNoValue;
};

// affine(x) {scale = 1, shift = 1}, or nullptr.
const Node* one_plus(const Pattern& pattern, ValueId value) {
  const Node* affine = pattern.made_by(value, {Op::affine});
  const bool matches =
      affine && affine->attrs.get_double("scale") == 1 && affine->attrs.get_double("shift") == 1;
  return matches ? affine : nullptr;
}

// The scale of a factor 1 + scale that is per sample of x: itself per sample, or its [B, D] rows.
ValueId match_scale(const Pattern& pattern, ValueId factor, const ValueType& x) {
  if (!is_per_sample(pattern.type(factor), x)) return kNoValue;
  if (const Node* affine = one_plus(pattern, factor)) return affine->inputs[0];
  const Node* reshape = pattern.made_by(factor, {Op::reshape});
  const Node* affine = reshape ? one_plus(pattern, reshape->inputs[0]) : nullptr;
  const bool rows =
      affine && pattern.type(affine->inputs[0]).shape == SymShape{x.shape.front(), x.shape.back()};
  return rows ? affine->inputs[0] : kNoValue;
}

const Node* match_norm(const Pattern& pattern, ValueId value) {
  const Node* norm = pattern.made_by(value, {Op::layer_norm});
  const bool plain = norm && norm->inputs[1] == kNoValue && norm->inputs[2] == kNoValue;
  return plain && pattern.vanishes(value) ? norm : nullptr;
}

Match match(const Pattern& pattern, const Node& add) {
  for (size_t m : {0, 1}) {
    const Node* mul = pattern.made_by(add.inputs[m], {Op::mul});
    if (!mul || !pattern.vanishes(add.inputs[m])) continue;
    for (size_t n : {0, 1}) {
      const Node* norm = match_norm(pattern, mul->inputs[n]);
      if (!norm) continue;
      const ValueType& x = pattern.type(norm->inputs[0]);
      const ValueId shift = add.inputs[1 - m];
      const ValueId scale = match_scale(pattern, mul->inputs[1 - n], x);
      if (scale != kNoValue && is_per_sample(pattern.type(shift), x)) return {norm, scale, shift};
    }
  }
  return {};
}

}  // namespace

Graph fuse_norm_modulate(const Graph& graph) {
  const Pattern pattern(graph);
  return rewrite_nodes(graph, [&](GraphRebuilder& rebuilder, const Node& node) {
    if (node.op != Op::add) return false;
    const Match found = match(pattern, node);
    if (!found.norm) return false;
    const ValueId x = rebuilder.map(found.norm->inputs[0]);
    const ValueId scale = per_sample_rows(rebuilder, pattern, found.scale);
    const ValueId shift = per_sample_rows(rebuilder, pattern, found.shift);
    replace(rebuilder, graph, node, Op::norm_modulate, {x, scale, shift}, found.norm->attrs);
    return true;
  });
}

}  // namespace octavo
