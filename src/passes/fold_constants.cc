// Computes once what depends on constants only:   y = f(w)   ->   const y
// Not dequantize, which would undo the weight's compression, and nothing whose result is larger
// than 1 MiB and four times its operands. Constants without data stay as they are.
#include <algorithm>

#include "base/check.h"
#include "passes/pass.h"

namespace octavo {
namespace {

constexpr size_t kSmall = size_t{1} << 20;
constexpr size_t kGrowth = 4;

// Bytes of all results; nullopt if a shape has symbols or a size overflows.
std::optional<size_t> result_bytes(const Graph& graph, const Node& node) {
  size_t total = 0;
  for (ValueId id : node.outputs) {
    const ValueType& type = graph.value(id).type;
    if (!is_constant(type.shape)) return std::nullopt;
    total += Tensor::typed(type.dtype, evaluate(type.shape, {})).bytes();
  }
  return total;
}

// The operands' data, if every one is a constant that has some.
std::optional<std::vector<Tensor>> constant_operands(GraphRebuilder& rebuilder, const Node& node) {
  std::vector<Tensor> result;
  for (ValueId id : node.inputs) {
    if (id == kNoValue) {
      result.emplace_back();
      continue;
    }
    const std::optional<Tensor>& constant = rebuilder.graph().value(rebuilder.map(id)).constant;
    if (!constant || !constant->has_data()) return std::nullopt;
    result.push_back(*constant);
  }
  return result;
}

bool is_worth_it(const Graph& graph, const Node& node, const std::vector<Tensor>& operands) {
  const std::optional<size_t> after = result_bytes(graph, node);
  if (!after) return false;
  size_t before = 0;
  for (const Tensor& tensor : operands) before += tensor.has_data() ? tensor.bytes() : 0;
  return *after < kSmall || *after <= kGrowth * before;
}

}  // namespace

Graph fold_constants(const Graph& graph, const Evaluator& evaluate_node) {
  GraphRebuilder rebuilder(graph);
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const auto operands = node.op == Op::dequantize ? std::nullopt
                          : graph.value(node.outputs.front()).rate == Rate::model
                              ? constant_operands(rebuilder, node)
                              : std::nullopt;
    if (!operands || !is_worth_it(graph, node, *operands)) {
      rebuilder.copy(static_cast<NodeId>(i));
      continue;
    }
    const std::vector<Tensor> results = evaluate_node(graph, node, *operands);
    OCTAVO_ASSERT(results.size() == node.outputs.size());
    for (size_t k = 0; k < results.size(); ++k) {
      const Value& v = graph.value(node.outputs[k]);
      OCTAVO_ASSERT((v.type == ValueType{results[k].dtype(), symbolic(results[k].shape())}));
      rebuilder.set(node.outputs[k], rebuilder.graph().add_constant(v.name, results[k]));
    }
  }
  return without_dead_code(rebuilder.finish());
}

}  // namespace octavo
