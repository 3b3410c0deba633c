// Activations in the epilogue of what they follow:
//   h = linear(x, w, b); y = gelu(h)    ->   y = linear(x, w, b) {activation}   also silu,
//   quantized h = group_norm(x);   y = silu(h)    ->   y = group_norm(x) {activation = "silu"}
#include "passes/operands.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

// The name of this node's function among the epilogue's activations.
std::string activation(const Node& node) {
  if (node.op == Op::silu) return "silu";
  return node.attrs.get_string("approximate") == "tanh" ? "gelu_tanh" : "gelu";
}

// Nothing happens in the product behind which an activation could not come.
bool is_open(const Node& product) {
  const ProductOperands at = product_operands(product.op);
  return product.inputs[static_cast<size_t>(at.gate)] == kNoValue &&
         product.inputs[static_cast<size_t>(at.residual)] == kNoValue &&
         !product.attrs.has("out_spec");
}

}  // namespace

Graph fuse_activation(const Graph& graph) {
  const Pattern pattern(graph);
  return rewrite_nodes(graph, [&](GraphRebuilder& rebuilder, const Node& node) {
    if (node.op != Op::silu && (node.op != Op::gelu || node.attrs.has("out_spec"))) return false;
    const ValueId x = node.inputs[0];
    const Node* made = pattern.made_by(x, {Op::linear, Op::quantized_linear, Op::group_norm});
    if (!made || !pattern.vanishes(x)) return false;
    if (made->attrs.get_string_or("activation", "none") != "none") return false;
    if (made->op == Op::group_norm ? node.op != Op::silu : !is_open(*made)) return false;
    Attrs attrs = made->attrs;
    attrs.set("activation", activation(node));
    replace(rebuilder, graph, node, made->op, map_all(rebuilder, made->inputs), attrs);
    return true;
  });
}

}  // namespace octavo
