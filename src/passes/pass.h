#pragma once
// Graph rewrites, one a file. Each is a pure function: graph in, graph out, in topological order,
// with the same inputs and outputs. A fused node's result bears the name of the value it replaces;
// values that are graph outputs are never fused away.
#include <functional>
#include <vector>

#include "graph/graph.h"

namespace octavo {

// Runs one node on given inputs (empty tensors where absent); the kernels are a floor below.
using Evaluator = std::function<std::vector<Tensor>(const Graph& graph, const Node& node,
                                                    const std::vector<Tensor>& inputs)>;

Graph dead_code(const Graph& graph);
Graph without_dead_code(Graph graph);  // the same, at no cost if there is none
Graph common_subexpressions(const Graph& graph);
Graph fold_constants(const Graph& graph, const Evaluator& evaluate);
// `type`: bf16, f16 or f32. Inputs and outputs keep their types.
Graph lower_precision(const Graph& graph, DType type);
// `attention`: also attention over codes, and (below) codes that attention and qk_norm_rope write;
// without, those stay dequantize, attention, quantize.
Graph fuse_quantized(const Graph& graph, bool attention = true);
Graph fuse_norm_modulate(const Graph& graph);
Graph fold_transform_into_norm(const Graph& graph);
Graph fold_transform_into_linear(const Graph& graph);
Graph fuse_qk_norm_rope(const Graph& graph);
Graph fuse_activation(const Graph& graph);
Graph fuse_residual_gate(const Graph& graph);
Graph quantize_before_concat(const Graph& graph, bool attention = true);
Graph fuse_quantize_into_producer(const Graph& graph, bool attention = true);

}  // namespace octavo
