// Gated and plain residuals in the epilogue of products:
//   h = linear(x, w, b); g = mul(gate, h); y = add(r, g)   ->   y = linear(x, w, b, gate, r)
//   h = linear(x, w, b);                   y = add(r, h)   ->   y = linear(x, w, b, _, r)
// with gate [B, 1, N], and the same for quantized_linear; conv2d and quantized_conv2d take plain
// residuals. Operands in either order; a product of a lower rate than the sum stays apart, since it
// need not run as often.
#include "passes/operands.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

struct Match {
  const Node* product = nullptr;
  ValueId gate = kNoValue, residual = kNoValue;
};

// The product that gives `value`, if a residual may still be added in its epilogue.
const Node* match_product(const Pattern& pattern, ValueId value, const Node& sum, bool gated) {
  const Node* product = gated ? pattern.made_by(value, {Op::linear, Op::quantized_linear})
                              : pattern.made_by(value, {Op::linear, Op::quantized_linear,
                                                        Op::conv2d, Op::quantized_conv2d});
  if (!product || !pattern.vanishes(value)) return nullptr;
  const ProductOperands at = product_operands(product->op);
  const auto taken = [&](int operand) {
    return operand >= 0 && product->inputs[static_cast<size_t>(operand)] != kNoValue;
  };
  const bool open = !taken(at.gate) && !taken(at.residual) && !product->attrs.has("out_spec");
  const bool fits = pattern.type(value) == pattern.type(sum.outputs[0]) &&
                    pattern.rate(value) == pattern.rate(sum.outputs[0]);
  return open && fits ? product : nullptr;
}

// add(residual, mul(gate, product)), the mul as operand `m` of the sum.
Match match_gated(const Pattern& pattern, const Node& sum, size_t m) {
  const Node* mul = pattern.made_by(sum.inputs[m], {Op::mul});
  if (!mul || !pattern.vanishes(sum.inputs[m])) return {};
  for (size_t p : {1, 0}) {
    const Node* product = match_product(pattern, mul->inputs[p], sum, true);
    const ValueId gate = mul->inputs[1 - p];
    if (product && is_per_sample(pattern.type(gate), pattern.type(sum.outputs[0]))) {
      return {product, gate, sum.inputs[1 - m]};
    }
  }
  return {};
}

Match match(const Pattern& pattern, const Node& sum) {
  const auto is_residual = [&](size_t operand) {
    return pattern.type(sum.inputs[operand]) == pattern.type(sum.outputs[0]);
  };
  for (size_t y : {1, 0}) {
    const Match gated = is_residual(1 - y) ? match_gated(pattern, sum, y) : Match{};
    if (gated.product) return gated;
  }
  for (size_t y : {1, 0}) {
    const Node* product = match_product(pattern, sum.inputs[y], sum, false);
    if (product && is_residual(1 - y)) return {product, kNoValue, sum.inputs[1 - y]};
  }
  return {};
}

}  // namespace

Graph fuse_residual_gate(const Graph& graph) {
  const Pattern pattern(graph);
  return rewrite_nodes(graph, [&](GraphRebuilder& rebuilder, const Node& node) {
    if (node.op != Op::add) return false;
    const Match found = match(pattern, node);
    if (!found.product) return false;
    const ProductOperands at = product_operands(found.product->op);
    std::vector<ValueId> inputs = map_all(rebuilder, found.product->inputs);
    inputs[static_cast<size_t>(at.residual)] = rebuilder.map(found.residual);
    if (found.gate != kNoValue) {
      inputs[static_cast<size_t>(at.gate)] = per_sample_rows(rebuilder, pattern, found.gate);
    }
    replace(rebuilder, graph, node, found.product->op, inputs, found.product->attrs);
    return true;
  });
}

}  // namespace octavo
