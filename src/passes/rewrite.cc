#include "passes/rewrite.h"

#include <algorithm>

#include "passes/pass.h"

namespace octavo {

Pattern::Pattern(const Graph& graph) : graph_(graph), uses_(graph.values().size(), 0) {
  for (const Node& node : graph.nodes()) {
    for (ValueId id : node.inputs) {
      if (id != kNoValue) ++uses_[static_cast<size_t>(id)];
    }
  }
  // Counts twice, so that an output never vanishes.
  for (const Graph::Output& output : graph.outputs()) uses_[static_cast<size_t>(output.value)] += 2;
}

const Node* Pattern::made_by(ValueId id) const {
  if (id == kNoValue || graph_.value(id).producer < 0) return nullptr;
  const Node& node = graph_.node(graph_.value(id).producer);
  return node.outputs.front() == id ? &node : nullptr;
}

const Node* Pattern::made_by(ValueId id, std::initializer_list<Op> ops) const {
  const Node* node = made_by(id);
  return node && std::find(ops.begin(), ops.end(), node->op) != ops.end() ? node : nullptr;
}

bool Pattern::vanishes(ValueId id) const { return uses_[static_cast<size_t>(id)] == 1; }

Graph rewrite_nodes(const Graph& graph,
                    const std::function<bool(GraphRebuilder&, const Node&)>& rewrite) {
  GraphRebuilder rebuilder(graph);
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    if (!rewrite(rebuilder, graph.nodes()[i])) rebuilder.copy(static_cast<NodeId>(i));
  }
  return without_dead_code(rebuilder.finish());
}

void replace(GraphRebuilder& rebuilder, const Graph& source, const Node& replaced, Op op,
             std::vector<ValueId> inputs, Attrs attrs) {
  std::vector<std::string> names;
  for (ValueId id : replaced.outputs) names.push_back(source.value(id).name);
  const std::vector<ValueId> results =
      rebuilder.graph().add_named(op, std::move(inputs), std::move(attrs), names);
  for (size_t i = 0; i < results.size(); ++i) rebuilder.set(replaced.outputs[i], results[i]);
}

std::vector<ValueId> map_all(GraphRebuilder& rebuilder, const std::vector<ValueId>& source_values) {
  std::vector<ValueId> result;
  for (ValueId id : source_values) result.push_back(rebuilder.map(id));
  return result;
}

std::string fresh_name(const Graph& source, const Graph& result, const std::string& base) {
  std::string name = base;
  for (int i = 2; source.find(name) || result.find(name); ++i) {
    name = base + "#" + std::to_string(i);
  }
  return name;
}

bool is_per_sample(const ValueType& type, const ValueType& like) {
  if (like.shape.size() < 2) return false;
  SymShape expected(like.shape.size(), Dim(1));
  expected.front() = like.shape.front();
  expected.back() = like.shape.back();
  return type == ValueType{like.dtype, expected};
}

ValueId per_sample_rows(GraphRebuilder& rebuilder, const Pattern& pattern, ValueId value) {
  const SymShape& shape = pattern.type(value).shape;
  if (shape.size() == 2) return rebuilder.map(value);
  const SymShape rows{shape.front(), shape.back()};
  const Node* reshape = pattern.made_by(value, {Op::reshape});
  if (reshape && pattern.type(reshape->inputs[0]).shape == rows) {
    return rebuilder.map(reshape->inputs[0]);
  }
  const std::string name =
      fresh_name(pattern.graph(), rebuilder.graph(), pattern.graph().value(value).name + ".rows");
  return rebuilder.graph().add(Op::reshape, {rebuilder.map(value)}, {{"shape", rows}}, name);
}

}  // namespace octavo
