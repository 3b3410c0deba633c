#pragma once
// Shared by the tests of graphs and passes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "graph/graph.h"
#include "octavo/error.h"

namespace octavo::testing {

// The message of the Error that `body` throws; a failure if it throws none.
template <class F>
std::string error_of(F&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

// "f32[B, 64], f32[B, 1]" for one call over inputs "x: f32[B, 64]; w: ...", all of rate step.
inline std::string infer(const std::string& inputs, const std::string& call, int results = 1) {
  std::string text = "graph t {\n";
  for (size_t begin = 0; begin < inputs.size();) {
    const size_t end = std::min(inputs.find(';', begin), inputs.size());
    text += "input " + inputs.substr(begin, end - begin) + " step\n";
    begin = end + 1;
  }
  text += results == 1 ? "y = " : "y, y1 = ";
  const Graph graph = parse_graph(text + call + "\n}");
  std::string types;
  for (ValueId id : graph.nodes().front().outputs) {
    types += (types.empty() ? "" : ", ") + to_string(graph.value(id).type);
  }
  return types;
}

// The canonical text of a graph written by hand, without types.
inline std::string canonical(const std::string& text) { return to_text(parse_graph(text)); }

}  // namespace octavo::testing
