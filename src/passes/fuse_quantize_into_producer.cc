// The producer writes the codes, nobody reads a float tensor only to quantize it:
//   n = norm_modulate(x, scale, shift); q, s = quantize(n)
//     ->  q, s = norm_modulate(x, scale, shift) {out_spec}
// and the same for linear, quantized_linear (with their epilogues) and gelu, when the quantize is
// the only use. One scale for the whole tensor must be known beforehand (static); a scale per row
// may be dynamic where one kernel sees the whole row, which is norm_modulate.
#include "octavo/quant_spec.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

bool is_supported(Op producer, const QuantSpec& spec) {
  if (spec.tile_cols != 0) return false;
  if (spec.timing == QuantSpec::Timing::static_) return spec.tile_rows == 0;
  return producer == Op::norm_modulate && spec.tile_rows == 1;
}

// Where the producer takes its output's scale: its last operand.
size_t scale_operand(const Node& producer) { return producer.inputs.size() - 1; }

}  // namespace

Graph fuse_quantize_into_producer(const Graph& graph) {
  const Pattern pattern(graph);
  return rewrite_nodes(graph, [&](GraphRebuilder& rebuilder, const Node& node) {
    if (node.op != Op::quantize || !pattern.vanishes(node.inputs[0])) return false;
    const Node* producer = pattern.made_by(
        node.inputs[0], {Op::norm_modulate, Op::linear, Op::quantized_linear, Op::gelu});
    if (!producer || producer->attrs.has("out_spec")) return false;
    const std::string& spec = node.attrs.get_string("spec");
    const bool leading = node.attrs.get_string_or("rows", "leading") == "leading" ||
                         pattern.type(node.inputs[0]).shape.size() == 2;
    if (!leading || !is_supported(producer->op, QuantSpec::parse(spec))) return false;
    std::vector<ValueId> inputs = map_all(rebuilder, producer->inputs);
    inputs[scale_operand(*producer)] = rebuilder.map(node.inputs[1]);
    Attrs attrs = producer->attrs;
    attrs.set("out_spec", spec);
    replace(rebuilder, graph, node, producer->op, inputs, attrs);
    return true;
  });
}

}  // namespace octavo
