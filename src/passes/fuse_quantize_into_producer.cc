// The producer writes the codes, nobody reads a float tensor only to quantize it:
//   n = norm_modulate(x, scale, shift); q, s = quantize(n)
//     ->  q, s = norm_modulate(x, scale, shift) {out_spec}
// and the same for the other ops that can (operands.h: writes_codes), with their epilogues, when
// the quantize is the only use.
#include "passes/operands.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

// Where the producer takes its output's scale: its last operand.
size_t scale_operand(const Node& producer) { return producer.inputs.size() - 1; }

}  // namespace

Graph fuse_quantize_into_producer(const Graph& graph, bool attention) {
  const Pattern pattern(graph);
  return rewrite_nodes(graph, [&](GraphRebuilder& rebuilder, const Node& node) {
    if (node.op != Op::quantize || !pattern.vanishes(node.inputs[0])) return false;
    const Node* producer = pattern.made_by(node.inputs[0]);
    if (!producer || producer->attrs.has("out_spec")) return false;
    const std::string& spec = node.attrs.get_string("spec");
    const bool leading = node.attrs.get_string_or("rows", "leading") == "leading" ||
                         pattern.type(node.inputs[0]).shape.size() == 2;
    if (!leading || !writes_codes(producer->op, QuantSpec::parse(spec), attention)) return false;
    std::vector<ValueId> inputs = map_all(rebuilder, producer->inputs);
    inputs[scale_operand(*producer)] = rebuilder.map(node.inputs[1]);
    Attrs attrs = producer->attrs;
    attrs.set("out_spec", spec);
    replace(rebuilder, graph, node, producer->op, inputs, attrs);
    return true;
  });
}

}  // namespace octavo
