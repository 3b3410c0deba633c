#pragma once
// Which nodes share a launch (groups, kernel.h), and the order that brings them together.
#include <span>
#include <vector>

#include "plan/plan.h"

namespace octavo {

struct Gathered {
  std::vector<NodeId> order;     // of all nodes, topological
  std::vector<Launch> launches;  // over positions in `order`
};

// A list schedule. Nodes keep their order, except that the first of several that can share a launch
// brings the others to its side, each with the few launches that must come before it. Others are
// sought among the nodes that follow closely, so that hardly any value lives longer. Without
// `group`, every node is a launch of its own.
Gathered gather(const Graph& graph, std::span<const PlannedNode> nodes, bool group);

// Puts the graph's nodes into that order.
void reorder(Graph& graph, std::span<const NodeId> order);

}  // namespace octavo
