// Computes the same thing once:   a = f(x); b = f(x)   ->   a = f(x), b's uses read a
// for equal op, operands and attributes. Small constants with equal bytes are one operand (three
// layers that read one value have three equal input scales). Results that are outputs are not
// merged away, so that they keep their names.
#include <algorithm>
#include <map>
#include <utility>

#include "passes/pass.h"

namespace octavo {
namespace {

constexpr size_t kSmall = 1 << 16;  // bytes of a constant worth comparing

class Merger {
 public:
  explicit Merger(const Graph& graph) : graph_(graph), rebuilder_(graph) {}

  Graph run() {
    merge_constants();
    for (size_t i = 0; i < graph_.nodes().size(); ++i) visit(static_cast<NodeId>(i));
    return without_dead_code(rebuilder_.finish());
  }

 private:
  void merge_constants() {
    std::vector<ValueId> kept;
    for (size_t i = 0; i < graph_.values().size(); ++i) {
      const auto id = static_cast<ValueId>(i);
      const std::optional<Tensor>& tensor = graph_.value(id).constant;
      if (!tensor || !tensor->has_data() || tensor->bytes() > kSmall) continue;
      const auto same = std::find_if(kept.begin(), kept.end(), [&](ValueId other) {
        return same_bytes(*tensor, *graph_.value(other).constant);
      });
      if (same == kept.end()) {
        kept.push_back(id);
      } else if (!graph_.is_output(id)) {
        rebuilder_.set(id, rebuilder_.map(*same));
      }
    }
  }

  void visit(NodeId id) {
    const Node& node = graph_.node(id);
    std::vector<ValueId> inputs;
    for (ValueId input : node.inputs) inputs.push_back(rebuilder_.map(input));
    std::vector<NodeId>& alike = seen_[{node.op, inputs}];
    for (NodeId other : alike) {
      if (graph_.node(other).attrs == node.attrs && !gives_output(node)) return alias(id, other);
    }
    alike.push_back(id);
    rebuilder_.copy(id);
  }

  void alias(NodeId id, NodeId to) {
    const std::vector<ValueId>&from = graph_.node(id).outputs, &target = graph_.node(to).outputs;
    for (size_t i = 0; i < from.size(); ++i) rebuilder_.set(from[i], rebuilder_.map(target[i]));
  }

  bool gives_output(const Node& node) const {
    return std::any_of(node.outputs.begin(), node.outputs.end(),
                       [this](ValueId id) { return graph_.is_output(id); });
  }

  const Graph& graph_;
  GraphRebuilder rebuilder_;
  std::map<std::pair<Op, std::vector<ValueId>>, std::vector<NodeId>> seen_;
};

}  // namespace

Graph common_subexpressions(const Graph& graph) { return Merger(graph).run(); }

}  // namespace octavo
