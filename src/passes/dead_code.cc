// Removes what no output needs:   y = f(x); z = g(x); output y   ->   y = f(x); output y
// Inputs stay, they are the graph's signature.
#include "passes/pass.h"

namespace octavo {

Graph dead_code(const Graph& graph) {
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
  GraphRebuilder rebuilder(graph);
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) rebuilder.copy(static_cast<NodeId>(i));
  }
  return rebuilder.finish();
}

}  // namespace octavo
