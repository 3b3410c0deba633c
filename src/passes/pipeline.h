#pragma once
// The ordered list of passes: named, timed, verified after each.
#include <span>
#include <string>
#include <vector>

#include "passes/pass.h"

namespace octavo {

struct PassOptions {
  DType compute = DType::f32;         // bf16, f16: lower_precision runs
  Evaluator evaluate;                 // without one, constants are not folded
  bool attention_codes = true;        // kernels take codes in attention and around it
  std::vector<std::string> disabled;  // by name, besides OCTAVO_DISABLE_PASSES=a,b
};

struct Pass {
  const char* name;
  const char* meaning;
  Graph (*run)(const Graph& graph, const PassOptions& options);
};
std::span<const Pass> pass_table();

struct PassReport {
  const char* name;
  double seconds;
  size_t nodes_before, nodes_after;
};

// Runs every pass that is not switched off; fills `reports` if given. Error{invalid_argument} for a
// name of no pass lists the passes; Error{internal} names the pass that broke the graph.
Graph run_passes(const Graph& graph, const PassOptions& options = {},
                 std::vector<PassReport>* reports = nullptr);

}  // namespace octavo
