// What a modulated norm's result is shifted and multiplied by, into its modulation, which changes
// by step and not by token:
//   n = norm_modulate(x, scale, shift); y = sub(n, mu)
//     ->  y = norm_modulate(x, scale, sub(shift, mu))
//   n = norm_modulate(x, scale, shift); y = mul(n, m)
//     ->  y = norm_modulate(x, affine(mul(affine(scale) {1, 1}, m)) {1, -1}, mul(shift, m))
// for constants mu, m [D] (or one element) and a norm that nothing else reads. The modulation's
// scale is then rounded on the grid of 1: an error of at most 2^-23 |layer_norm(x)|.
#include <algorithm>

#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

struct Match {
  const Node* norm = nullptr;
  ValueId constant = kNoValue;
};

bool is_per_channel(const Graph& graph, ValueId id, const Dim& channels) {
  const SymShape& shape = graph.value(id).type.shape;
  return graph.value(id).constant &&
         (shape == SymShape{channels} || shape == SymShape{Dim(1)} || shape.empty());
}

Match match(const Pattern& pattern, const Node& node) {
  for (size_t n : {0, 1}) {
    if (node.op == Op::sub && n == 1) break;
    const Node* norm = pattern.made_by(node.inputs[n], {Op::norm_modulate});
    const ValueId constant = node.inputs[1 - n];
    if (!norm || norm->attrs.has("out_spec") || !pattern.vanishes(node.inputs[n])) continue;
    const SymShape& shape = pattern.type(node.inputs[n]).shape;
    if (is_per_channel(pattern.graph(), constant, shape.back())) return {norm, constant};
  }
  return {};
}

class Folder {
 public:
  Folder(const Graph& graph, Op op) : graph_(graph), pattern_(graph), op_(op) {}

  Graph run() {
    const auto is_match = [this](const Node& node) {
      return node.op == op_ && match(pattern_, node).norm;
    };
    const std::vector<Node>& nodes = graph_.nodes();
    if (std::none_of(nodes.begin(), nodes.end(), is_match)) return graph_;
    return rewrite_nodes(graph_, [&](GraphRebuilder& rebuilder, const Node& node) {
      if (node.op != op_) return false;
      const Match found = match(pattern_, node);
      if (!found.norm) return false;
      fold(rebuilder, node, found);
      return true;
    });
  }

 private:
  void fold(GraphRebuilder& rebuilder, const Node& node, const Match& found) const {
    const std::string& name = graph_.value(node.outputs[0]).name;
    const auto add = [&](Op op, std::vector<ValueId> inputs, Attrs attrs, const char* what) {
      return rebuilder.graph().add(op, std::move(inputs), std::move(attrs),
                                   fresh_name(graph_, rebuilder.graph(), name + what));
    };
    const ValueId constant = rebuilder.map(found.constant);
    ValueId scale = rebuilder.map(found.norm->inputs[1]);
    const ValueId shift = add(op_, {rebuilder.map(found.norm->inputs[2]), constant}, {}, ".shift");
    if (op_ == Op::mul) {
      scale = add(Op::affine, {scale}, {{"scale", 1.0}, {"shift", 1.0}}, ".one_plus_scale");
      scale = add(Op::mul, {scale, constant}, {}, ".factor");
      scale = add(Op::affine, {scale}, {{"scale", 1.0}, {"shift", -1.0}}, ".scale");
    }
    replace(rebuilder, graph_, node, Op::norm_modulate,
            {rebuilder.map(found.norm->inputs[0]), scale, shift}, found.norm->attrs);
  }

  const Graph& graph_;
  Pattern pattern_;
  Op op_;
};

}  // namespace

// An input is shifted first, so that both are found in turn.
Graph fold_transform_into_norm(const Graph& graph) {
  return dead_code(Folder(Folder(graph, Op::sub).run(), Op::mul).run());
}

}  // namespace octavo
