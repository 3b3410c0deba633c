#pragma once
#include <string>

#include "graph/graph_testing.h"
#include "passes/pass.h"

namespace octavo::testing {

template <class P>
Graph apply(P&& pass, const Graph& graph) {
  return pass(graph);
}
// Passes that may leave attention alone, with all that they do.
inline Graph apply(Graph (&pass)(const Graph&, bool), const Graph& graph) {
  return pass(graph, true);
}

// Text before -> text after; both verified. Constants are listed in the order of their use.
template <class P>
void expect_rewrite(P&& pass, const std::string& before, const std::string& after) {
  const Graph result = apply(pass, parse_graph(before, "before"));
  verify(result, "the pass");
  EXPECT_EQ(to_text(result), to_text(dead_code(parse_graph(after, "after"))));
}

template <class P>
void expect_unchanged(P&& pass, const std::string& text) {
  expect_rewrite(pass, text, text);
}

}  // namespace octavo::testing
