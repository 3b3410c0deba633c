// Codes are joined and reshaped instead of values: fewer bytes move, and producers can write codes.
//   c = concat(a, b); q, s = quantize(c, scale)
//     ->  qa = quantize(a, scale); qb = quantize(b, scale); q = concat(qa, qb)
//   r = reshape(a);   q, s = quantize(r, scale)   ->   qa = quantize(a, scale); q = reshape(qa)
// for one given scale over the whole tensor, where the producer of `a`, or of what `a` is a reshape
// of, can write codes. Concats come first, so that reshapes of their parts are seen.
#include <algorithm>

#include "passes/operands.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

bool is_one_given_scale(const QuantSpec& spec) {
  return spec.timing == QuantSpec::Timing::static_ && spec.tile_rows == 0 && spec.tile_cols == 0;
}

// Can a kernel write the codes of a value that only its quantization reads?
bool can_write_codes(const Pattern& pattern, ValueId value, const QuantSpec& spec, bool attention) {
  const Node* reshape = pattern.made_by(value, {Op::reshape});
  if (reshape && pattern.vanishes(value)) value = reshape->inputs[0];
  const Node* producer = pattern.made_by(value);
  return producer && pattern.vanishes(value) && writes_codes(producer->op, spec, attention) &&
         !producer->attrs.has("out_spec");
}

class Mover {
 public:
  Mover(const Graph& graph, Op through, bool attention)
      : graph_(graph), pattern_(graph), through_(through), attention_(attention) {}

  Graph run() {
    return rewrite_nodes(graph_, [&](GraphRebuilder& rebuilder, const Node& node) {
      if (node.op != Op::quantize || !pattern_.vanishes(node.inputs[0])) return false;
      const QuantSpec spec = QuantSpec::parse(node.attrs.get_string("spec"));
      const Node* move = pattern_.made_by(node.inputs[0], {through_});
      if (!move || !is_one_given_scale(spec)) return false;
      const auto fusible = [&](ValueId part) {
        return can_write_codes(pattern_, part, spec, attention_);
      };
      if (!std::any_of(move->inputs.begin(), move->inputs.end(), fusible)) return false;
      rewrite(rebuilder, node, *move);
      return true;
    });
  }

 private:
  void rewrite(GraphRebuilder& rebuilder, const Node& quantize, const Node& move) const {
    const std::string& name = graph_.value(quantize.outputs[0]).name;
    const ValueId scale = rebuilder.map(quantize.inputs[1]);
    std::vector<ValueId> codes;
    for (const ValueId part : move.inputs) {
      const std::string own = fresh_name(graph_, rebuilder.graph(), name + ".part");
      codes.push_back(
          rebuilder.graph().add(Op::quantize, {rebuilder.map(part), scale}, quantize.attrs, own));
    }
    rebuilder.set(quantize.outputs[0],
                  rebuilder.graph().add_named(move.op, codes, move.attrs, {name}).front());
    rebuilder.set(quantize.outputs[1], scale);
  }

  const Graph& graph_;
  Pattern pattern_;
  Op through_;
  bool attention_;
};

}  // namespace

Graph quantize_before_concat(const Graph& graph, bool attention) {
  const Graph joined = Mover(graph, Op::concat, attention).run();
  return Mover(joined, Op::reshape, attention).run();
}

}  // namespace octavo
