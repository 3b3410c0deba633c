#pragma once
// What patterns ask of a graph, and the loop that all rewrites share. Private to this floor.
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace octavo {

class Pattern {
 public:
  explicit Pattern(const Graph& graph);

  const Graph& graph() const { return graph_; }
  const ValueType& type(ValueId id) const { return graph_.value(id).type; }
  Rate rate(ValueId id) const { return graph_.value(id).rate; }
  // The node that gives `id` as its first result, if its op is among `ops`; else nullptr.
  const Node* made_by(ValueId id, std::initializer_list<Op> ops) const;
  const Node* made_by(ValueId id) const;  // whatever its op
  // Exactly one operand slot reads it and it is no output: it may vanish into its reader.
  bool vanishes(ValueId id) const;

 private:
  const Graph& graph_;
  std::vector<int> uses_;  // operand slots and outputs
};

// Copies the graph node by node; `rewrite` returns true for a node that it replaced itself. Nodes
// that are left without a use are removed.
Graph rewrite_nodes(const Graph& graph,
                    const std::function<bool(GraphRebuilder&, const Node&)>& rewrite);

// Puts a node with the names of `replaced`'s results in its place. `inputs` are new ids.
void replace(GraphRebuilder& rebuilder, const Graph& source, const Node& replaced, Op op,
             std::vector<ValueId> inputs, Attrs attrs);
std::vector<ValueId> map_all(GraphRebuilder& rebuilder, const std::vector<ValueId>& source_values);
// A name that neither graph has.
std::string fresh_name(const Graph& source, const Graph& result, const std::string& base);

// A value is per sample of `like`[B, ..., N] if it broadcasts from [B, 1, ..., 1, N].
bool is_per_sample(const ValueType& type, const ValueType& like);
// Its [B, N] form (a new id): what it was reshaped from, or reshaped now.
ValueId per_sample_rows(GraphRebuilder& rebuilder, const Pattern& pattern, ValueId value);

}  // namespace octavo
