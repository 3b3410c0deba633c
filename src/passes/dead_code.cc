// Removes what no output needs:   y = f(x); z = g(x); output y   ->   y = f(x); output y
// Inputs stay, they are the graph's signature.
#include <algorithm>

#include "passes/pass.h"

namespace octavo {

namespace {

struct Live {
  std::vector<bool> values, nodes;
};

Live find_live(const Graph& graph) {
  std::vector<bool> live(graph.values().size(), false);
  for (const Graph::Output& output : graph.outputs())
    live[static_cast<size_t>(output.value)] = true;
  std::vector<bool> kept(graph.nodes().size(), false);
  for (size_t i = graph.nodes().size(); i-- > 0;) {
    const Node& node = graph.nodes()[i];
    for (ValueId id : node.outputs) kept[i] = kept[i] || live[static_cast<size_t>(id)];
    if (!kept[i]) continue;
    for (ValueId id : node.inputs) {
      if (id != kNoValue) live[static_cast<size_t>(id)] = true;
    }
  }
  return {std::move(live), std::move(kept)};
}

Graph without_dead(const Graph& graph, const Live& live) {
  GraphRebuilder rebuilder(graph);
  for (size_t i = 0; i < live.nodes.size(); ++i) {
    if (live.nodes[i]) rebuilder.copy(static_cast<NodeId>(i));
  }
  return rebuilder.finish();
}

}  // namespace

Graph dead_code(const Graph& graph) { return without_dead(graph, find_live(graph)); }

Graph without_dead_code(Graph graph) {
  const Live live = find_live(graph);
  bool all = std::find(live.nodes.begin(), live.nodes.end(), false) == live.nodes.end();
  for (size_t v = 0; v < live.values.size() && all; ++v) {
    all = live.values[v] || !graph.values()[v].constant;
  }
  return all ? std::move(graph) : without_dead(graph, live);
}

}  // namespace octavo
