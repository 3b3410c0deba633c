#pragma once
#include <string>

#include "graph/graph_testing.h"
#include "passes/pass.h"

namespace octavo::testing {

// Text before -> text after; both verified. Constants are listed in the order of their use.
template <class P>
void expect_rewrite(P&& pass, const std::string& before, const std::string& after) {
  const Graph result = pass(parse_graph(before, "before"));
  verify(result, "the pass");
  EXPECT_EQ(to_text(result), to_text(dead_code(parse_graph(after, "after"))));
}

template <class P>
void expect_unchanged(P&& pass, const std::string& text) {
  expect_rewrite(pass, text, text);
}

}  // namespace octavo::testing
