#pragma once
// A typed dataflow graph in topological order. Values are identified by index and by a unique name
// (module paths of the source checkpoint, so that taps, recipes and errors speak its language).
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/op.h"
#include "tensor/tensor.h"

namespace octavo {

// How often a value changes, as a set of causes: 0 = model (constant), else any of the bits.
// request: depends on the prompt; schedule: on the timestep; both (trajectory): once per request
// and step number, still before the first step; step: on the latent.
enum class Rate : uint8_t { model = 0, request = 1, schedule = 2, trajectory = 3, step = 7 };
Rate join(Rate a, Rate b);
const char* name(Rate rate);
std::optional<Rate> find_rate(std::string_view name);

using ValueId = int32_t;
using NodeId = int32_t;
inline constexpr ValueId kNoValue = -1;

struct Value {
  std::string name;
  ValueType type;
  Rate rate = Rate::model;
  NodeId producer = -1;            // -1: graph input or constant
  std::optional<Tensor> constant;  // may be typed without data
};

struct Node {
  Op op;
  std::vector<ValueId> inputs;  // kNoValue where absent; as many as the op's row says at most
  std::vector<ValueId> outputs;
  Attrs attrs;
};

class Graph {
 public:
  std::string name;

  ValueId add_input(std::string_view name, DType dtype, SymShape shape, Rate rate);
  ValueId add_constant(std::string_view name, Tensor tensor);
  // Infers types and rates; outputs are named `name`, and `name:1` ... for further ones. A taken
  // name gets a suffix "#2". Errors name the op and `name`.
  std::vector<ValueId> add_multi(Op op, std::vector<ValueId> inputs, Attrs attrs,
                                 std::string_view base);
  ValueId add(Op op, std::vector<ValueId> inputs, Attrs attrs, std::string_view base) {
    return add_multi(op, std::move(inputs), std::move(attrs), base).front();
  }
  // The same with a name for each output; a taken name is an error.
  std::vector<ValueId> add_named(Op op, std::vector<ValueId> inputs, Attrs attrs,
                                 const std::vector<std::string>& names);
  // A node of another graph, with its names, over these inputs. Where they are of the same types as
  // there, the results are too: nothing is inferred again.
  std::vector<ValueId> add_copy(const Graph& source, NodeId node, std::vector<ValueId> inputs);
  // Marks a value as a result under a public name.
  void add_output(std::string_view name, ValueId value);

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Value>& values() const { return values_; }
  const Value& value(ValueId id) const;
  const Node& node(NodeId id) const;
  struct Output {
    std::string name;
    ValueId value;
  };
  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<Output>& outputs() const { return outputs_; }
  std::optional<ValueId> find(std::string_view value_name) const;
  std::vector<std::string> symbols() const;

  // For passes. Nodes whose uses are gone stay until dead-code elimination rebuilds the graph.
  std::vector<Node>& mutable_nodes() { return nodes_; }
  Value& mutable_value(ValueId id);
  std::vector<NodeId> users(ValueId id) const;  // each node once
  bool is_output(ValueId id) const;
  void replace_uses(ValueId from, ValueId to);  // in nodes and outputs
  std::string unique_name(std::string_view base) const;

 private:
  ValueId add_value(Value value);
  std::vector<ValueId> add_typed(Op op, std::vector<ValueId> inputs, Attrs attrs,
                                 const std::vector<std::string>& names,
                                 std::vector<ValueType> types);
  Rate rate_of(const std::vector<ValueId>& inputs) const;

  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<ValueId> inputs_;
  std::vector<Output> outputs_;
  std::map<std::string, ValueId, std::less<>> by_name_;
};

// Copies a graph node by node; a pass overrides what it rewrites. Order stays topological.
class GraphRebuilder {
 public:
  explicit GraphRebuilder(const Graph& source);
  // The new id of a source value (an input, a constant, or of a node already copied).
  ValueId map(ValueId source_value);
  void set(ValueId source_value, ValueId new_value);
  std::vector<ValueId> copy(NodeId source_node);  // same op and attributes over mapped inputs
  Graph& graph() { return result_; }
  Graph finish();  // maps the outputs; unused constants are dropped

 private:
  const Graph& source_;
  Graph result_;
  std::vector<ValueId> mapped_;
};

// Types of every value again from its op's rule, uniqueness of names, order, arity, attributes,
// rates: Error{internal} "after <what>: ..." on the first violation. Run after every pass.
void verify(const Graph& graph, std::string_view what);

// Text form; parse(print(g)) prints the same. Constants print type and name without data.
std::string to_text(const Graph& graph);
Graph parse_graph(std::string_view text, std::string_view where = "text");

// Multiply-adds x 2 of all nodes, by the rate of the node's outputs.
std::map<Rate, Dim> flops_by_rate(const Graph& graph);

}  // namespace octavo
