#include <algorithm>
#include <set>

#include "base/check.h"
#include "graph/graph.h"

namespace octavo {
namespace {

// Messages are made only where they are needed.
#define OCTAVO_VERIFY(condition, format, ...)                                    \
  OCTAVO_CHECK_CODE(internal, condition, "after {}: graph '{}': " format, what_, \
                    graph_.name __VA_OPT__(, ) __VA_ARGS__)

class Verifier {
 public:
  Verifier(const Graph& graph, std::string_view what) : graph_(graph), what_(what) {}

  void run() {
    defined_.assign(graph_.values().size(), false);
    check_names();
    check_sources();
    for (size_t i = 0; i < graph_.nodes().size(); ++i) check_node(static_cast<NodeId>(i));
    for (size_t i = 0; i < defined_.size(); ++i) {
      OCTAVO_VERIFY(defined_[i], "value '{}' is neither an input, a constant nor a node's output",
                    graph_.values()[i].name);
    }
    std::set<std::string> names;
    for (const Graph::Output& output : graph_.outputs()) {
      OCTAVO_VERIFY(exists(output.value), "output '{}' is value {}, which does not exist",
                    output.name, output.value);
      OCTAVO_VERIFY(names.insert(output.name).second, "two outputs are named '{}'", output.name);
    }
  }

 private:
  bool exists(ValueId id) const { return id >= 0 && static_cast<size_t>(id) < defined_.size(); }

  void define(ValueId id) {
    OCTAVO_VERIFY(exists(id), "value {} does not exist", id);
    OCTAVO_VERIFY(!defined_[static_cast<size_t>(id)], "value '{}' has two sources",
                  graph_.value(id).name);
    defined_[static_cast<size_t>(id)] = true;
  }

  void check_names() const {
    for (size_t i = 0; i < graph_.values().size(); ++i) {
      const std::string& name = graph_.values()[i].name;
      OCTAVO_VERIFY(graph_.find(name) == static_cast<ValueId>(i),
                    "value {} is not found by its name '{}'", i, name);
    }
  }

  // Graph inputs and constants.
  void check_sources() {
    for (ValueId id : graph_.inputs()) {
      define(id);
      OCTAVO_VERIFY(graph_.value(id).producer == -1 && !graph_.value(id).constant,
                    "input '{}' is also produced", graph_.value(id).name);
    }
    for (size_t i = 0; i < graph_.values().size(); ++i) {
      const Value& v = graph_.values()[i];
      for (const Dim& dim : v.type.shape) {
        OCTAVO_VERIFY(!dim.is_constant() || dim.value() >= 0, "value '{}' is {}", v.name,
                      to_string(v.type));
      }
      if (!v.constant) continue;
      define(static_cast<ValueId>(i));
      const ValueType held{v.constant->dtype(), symbolic(v.constant->shape())};
      OCTAVO_VERIFY(v.producer == -1 && v.rate == Rate::model && v.type == held,
                    "constant '{}' is typed {} at rate {}, but holds {}", v.name, to_string(v.type),
                    name(v.rate), to_string(held));
    }
  }

  void check_node(NodeId id) {
    const Node& node = graph_.node(id);
    const OpInfo& op = info(node.op);
    OCTAVO_VERIFY(op.max_inputs < 0 || node.inputs.size() == static_cast<size_t>(op.max_inputs),
                  "{} has {} operands, expected {} (absent ones included)", label(node),
                  node.inputs.size(), op.max_inputs);
    Rate rate = Rate::model;
    std::vector<std::optional<ValueType>> types(node.inputs.size());
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue) continue;
      OCTAVO_VERIFY(exists(node.inputs[i]) && defined_[static_cast<size_t>(node.inputs[i])],
                    "{} uses operand {} before it is defined", label(node), i);
      types[i] = graph_.value(node.inputs[i]).type;
      rate = join(rate, graph_.value(node.inputs[i]).rate);
    }
    check_outputs(id, inferred(node, types), rate);
  }

  std::vector<ValueType> inferred(const Node& node,
                                  const std::vector<std::optional<ValueType>>& types) const {
    try {
      OCTAVO_VERIFY(checked_attrs(info(node.op), node.attrs) == node.attrs,
                    "{} has attributes of other types than its row declares", label(node));
      return infer_types(node.op, types, node.attrs);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::internal) throw;
      OCTAVO_FAIL(internal, "after {}: graph '{}': {}: {}", what_, graph_.name, label(node),
                  error.what());
    }
  }

  void check_outputs(NodeId id, const std::vector<ValueType>& types, Rate rate) {
    const Node& node = graph_.node(id);
    const std::vector<ValueId>& outputs = node.outputs;
    OCTAVO_VERIFY(outputs.size() == types.size(), "{} has {} results, expected {}", label(node),
                  outputs.size(), types.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      define(outputs[i]);
      const Value& v = graph_.value(outputs[i]);
      OCTAVO_VERIFY(v.producer == id && !v.constant, "{} says another producer than {}", v.name,
                    label(node));
      OCTAVO_VERIFY(v.type == types[i], "{}: result '{}' is typed {}, but the op gives {}",
                    label(node), v.name, to_string(v.type), to_string(types[i]));
      OCTAVO_VERIFY(v.rate == rate, "{}: result '{}' has rate {}, but its operands give {}",
                    label(node), v.name, name(v.rate), name(rate));
    }
  }

  std::string label(const Node& node) const {
    const bool named = !node.outputs.empty() && exists(node.outputs.front());
    return fmt::format("{} = {}", named ? graph_.value(node.outputs.front()).name : "?",
                       name(node.op));
  }

  const Graph& graph_;
  std::string_view what_;
  std::vector<bool> defined_;
};

#undef OCTAVO_VERIFY

}  // namespace

void verify(const Graph& graph, std::string_view what) { Verifier(graph, what).run(); }

}  // namespace octavo
