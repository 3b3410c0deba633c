#pragma once
// Random graphs, and what they mean.
#include "plan/call.h"
#include "run/executor.h"
#include "support.h"

namespace octavo::test {

// What a graph means: every node by itself, through the reference kernels.
inline TensorMap interpret(const Graph& graph, const TensorMap& inputs) {
  std::vector<Tensor> values(graph.values().size());
  for (size_t v = 0; v < values.size(); ++v) {
    const Value& value = graph.values()[v];
    if (value.constant) values[v] = *value.constant;
    if (const auto found = inputs.find(value.name); found != inputs.end())
      values[v] = found->second;
  }
  for (const Node& node : graph.nodes()) {
    std::vector<Tensor> operands;
    for (ValueId id : node.inputs) {
      operands.push_back(id == kNoValue ? Tensor() : values[static_cast<size_t>(id)]);
    }
    const auto results = evaluate_node(graph, node, operands, true);
    for (size_t k = 0; k < results.size(); ++k) {
      values[static_cast<size_t>(node.outputs[k])] = results[k];
    }
  }
  TensorMap outputs;
  for (const Graph::Output& output : graph.outputs()) {
    outputs[output.name] = values[static_cast<size_t>(output.value)];
  }
  return outputs;
}

// A random graph over [4, 6] tensors: in-place ops, chains of reshapes, slices, several uses,
// outputs that are inputs, constants, aliases or the same value twice.
class RandomGraph {
 public:
  explicit RandomGraph(uint64_t seed) : random_(seed) {
    graph.name = "random";
    for (const char* name : {"x", "y"}) {
      pool_.push_back(graph.add_input(name, DType::f32, {4, 6}, Rate::step));
    }
    pool_.push_back(graph.add_constant("c", test::random_tensor({4, 6}, seed)));
    for (int64_t n = 3 + random_.below(25); n > 0; --n) pool_.push_back(add_node());
    for (int64_t n = 1 + random_.below(5); n > 0; --n) {
      graph.add_output(graph.unique_name("out" + std::to_string(n)), pick());
    }
  }

  Graph graph;

 private:
  ValueId pick() { return pool_[static_cast<size_t>(random_.below(std::ssize(pool_)))]; }

  ValueId add_node() {
    const std::string name = "n" + std::to_string(pool_.size());
    const ValueId a = pick(), b = pick();
    switch (random_.below(6)) {
      case 0:
        return graph.add(Op::add, {a, b}, {}, name);
      case 1:
        return graph.add(Op::mul, {a, b}, {}, name);
      case 2:
        return graph.add(Op::silu, {a}, {}, name);
      case 3:
        return graph.add(Op::affine, {a}, {{"scale", 0.5}, {"shift", 1.0}}, name);
      case 4: {  // there and back, with work in between
        const ValueId r = graph.add(Op::reshape, {a}, {{"shape", SymShape{24}}}, name + ".flat");
        const ValueId s = random_.below(2) ? graph.add(Op::silu, {r}, {}, name + ".work") : r;
        return graph.add(Op::reshape, {s}, {{"shape", SymShape{4, 6}}}, name);
      }
      default: {
        const Attrs halves{{"axis", int64_t{0}}, {"begin", Dim(2)}, {"end", Dim(4)}};
        const ValueId h = graph.add(Op::slice, {a}, halves, name + ".half");
        return graph.add(Op::concat, {h, h}, {{"axis", int64_t{0}}}, name);
      }
    }
  }

  Random random_;
  std::vector<ValueId> pool_;
};

}  // namespace octavo::test
