#include <algorithm>
#include <set>

#include "base/check.h"
#include "graph/graph.h"

namespace octavo {
namespace {

class Verifier {
 public:
  Verifier(const Graph& graph, std::string_view what) : graph_(graph), what_(what) {}

  void run() {
    defined_.assign(graph_.values().size(), false);
    check_names();
    check_sources();
    for (size_t i = 0; i < graph_.nodes().size(); ++i) check_node(static_cast<NodeId>(i));
    for (size_t i = 0; i < defined_.size(); ++i) {
      check(defined_[i], "value '{}' is neither an input, a constant nor a node's output",
            graph_.values()[i].name);
    }
    std::set<std::string> names;
    for (const Graph::Output& output : graph_.outputs()) {
      check(exists(output.value), "output '{}' is value {}, which does not exist", output.name,
            output.value);
      check(names.insert(output.name).second, "two outputs are named '{}'", output.name);
    }
  }

 private:
  template <class... Args>
  void check(bool condition, fmt::format_string<Args...> format, Args&&... args) const {
    if (condition) return;
    OCTAVO_FAIL(internal, "after {}: graph '{}': {}", what_, graph_.name,
                fmt::format(format, std::forward<Args>(args)...));
  }

  bool exists(ValueId id) const { return id >= 0 && static_cast<size_t>(id) < defined_.size(); }

  void define(ValueId id) {
    check(exists(id), "value {} does not exist", id);
    check(!defined_[static_cast<size_t>(id)], "value '{}' has two sources", graph_.value(id).name);
    defined_[static_cast<size_t>(id)] = true;
  }

  void check_names() const {
    for (size_t i = 0; i < graph_.values().size(); ++i) {
      const std::string& name = graph_.values()[i].name;
      check(graph_.find(name) == static_cast<ValueId>(i), "value {} is not found by its name '{}'",
            i, name);
    }
  }

  // Graph inputs and constants.
  void check_sources() {
    for (ValueId id : graph_.inputs()) {
      define(id);
      check(graph_.value(id).producer == -1 && !graph_.value(id).constant,
            "input '{}' is also produced", graph_.value(id).name);
    }
    for (size_t i = 0; i < graph_.values().size(); ++i) {
      const Value& v = graph_.values()[i];
      for (const Dim& dim : v.type.shape) {
        check(!dim.is_constant() || dim.value() >= 0, "value '{}' is {}", v.name,
              to_string(v.type));
      }
      if (!v.constant) continue;
      define(static_cast<ValueId>(i));
      const ValueType held{v.constant->dtype(), symbolic(v.constant->shape())};
      check(v.producer == -1 && v.rate == Rate::model && v.type == held,
            "constant '{}' is typed {} at rate {}, but holds {}", v.name, to_string(v.type),
            name(v.rate), to_string(held));
    }
  }

  void check_node(NodeId id) {
    const Node& node = graph_.node(id);
    const std::string where = label(node);
    const OpInfo& op = info(node.op);
    check(op.max_inputs < 0 || node.inputs.size() == static_cast<size_t>(op.max_inputs),
          "{} has {} operands, expected {} (absent ones included)", where, node.inputs.size(),
          op.max_inputs);
    Rate rate = Rate::model;
    std::vector<std::optional<ValueType>> types(node.inputs.size());
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue) continue;
      check(exists(node.inputs[i]) && defined_[static_cast<size_t>(node.inputs[i])],
            "{} uses operand {} before it is defined", where, i);
      types[i] = graph_.value(node.inputs[i]).type;
      rate = join(rate, graph_.value(node.inputs[i]).rate);
    }
    check_outputs(id, where, inferred(node, types, where), rate);
  }

  std::vector<ValueType> inferred(const Node& node,
                                  const std::vector<std::optional<ValueType>>& types,
                                  const std::string& where) const {
    try {
      check(checked_attrs(info(node.op), node.attrs) == node.attrs,
            "{} has attributes of other types than its row declares", where);
      return infer_types(node.op, types, node.attrs);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::internal) throw;
      check(false, "{}: {}", where, error.what());
      throw;
    }
  }

  void check_outputs(NodeId id, const std::string& where, const std::vector<ValueType>& types,
                     Rate rate) {
    const std::vector<ValueId>& outputs = graph_.node(id).outputs;
    check(outputs.size() == types.size(), "{} has {} results, expected {}", where, outputs.size(),
          types.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      define(outputs[i]);
      const Value& v = graph_.value(outputs[i]);
      check(v.producer == id && !v.constant, "{} says another producer than {}", v.name, where);
      check(v.type == types[i], "{}: result '{}' is typed {}, but the op gives {}", where, v.name,
            to_string(v.type), to_string(types[i]));
      check(v.rate == rate, "{}: result '{}' has rate {}, but its operands give {}", where, v.name,
            name(v.rate), name(rate));
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

}  // namespace

void verify(const Graph& graph, std::string_view what) { Verifier(graph, what).run(); }

}  // namespace octavo
