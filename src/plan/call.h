#pragma once
#include <vector>

#include "graph/graph.h"
#include "kernels/kernel.h"

namespace octavo {

// A node as a concrete problem. Constant operands point into `graph`, which must outlive the call.
Call make_call(const Graph& graph, const Node& node, const Bindings& bindings,
               Device* device = nullptr);

// One node on given operands, without symbols (constant folding). Absent inputs have no data.
std::vector<Tensor> evaluate_node(const Graph& graph, const Node& node,
                                  const std::vector<Tensor>& inputs, bool reference_kernels);

}  // namespace octavo
