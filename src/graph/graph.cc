#include "graph/graph.h"

#include <algorithm>

#include "base/check.h"

namespace octavo {
namespace {

struct RateName {
  Rate rate;
  const char* name;
};
constexpr RateName kRates[] = {{Rate::model, "model"},
                               {Rate::request, "request"},
                               {Rate::schedule, "schedule"},
                               {Rate::trajectory, "trajectory"},
                               {Rate::step, "step"}};

}  // namespace

Rate join(Rate a, Rate b) {
  return static_cast<Rate>(static_cast<uint8_t>(a) | static_cast<uint8_t>(b));
}

const char* name(Rate rate) {
  for (const RateName& row : kRates) {
    if (row.rate == rate) return row.name;
  }
  OCTAVO_ASSERT(false);
}

std::optional<Rate> find_rate(std::string_view name) {
  for (const RateName& row : kRates) {
    if (name == row.name) return row.rate;
  }
  return std::nullopt;
}

ValueId Graph::add_value(Value value) {
  OCTAVO_CHECK(!value.name.empty(), "a value of graph '{}' has no name", name);
  const auto id = static_cast<ValueId>(values_.size());
  const bool fresh = by_name_.try_emplace(value.name, id).second;
  OCTAVO_CHECK(fresh, "graph '{}' has two values named '{}'", name, value.name);
  values_.push_back(std::move(value));
  return id;
}

ValueId Graph::add_input(std::string_view value_name, DType dtype, SymShape shape, Rate rate) {
  const ValueId id = add_value({std::string(value_name), {dtype, std::move(shape)}, rate, -1, {}});
  inputs_.push_back(id);
  return id;
}

ValueId Graph::add_constant(std::string_view value_name, Tensor tensor) {
  const ValueType type{tensor.dtype(), symbolic(tensor.shape())};
  return add_value({std::string(value_name), type, Rate::model, -1, std::move(tensor)});
}

std::vector<ValueId> Graph::add_multi(Op op, std::vector<ValueId> inputs, Attrs attrs,
                                      std::string_view base) {
  std::vector<std::string> names{unique_name(base)};
  for (int i = 1; i < output_count(info(op), attrs); ++i) {
    names.push_back(unique_name(fmt::format("{}:{}", names[0], i)));
  }
  return add_named(op, std::move(inputs), std::move(attrs), names);
}

std::vector<ValueId> Graph::add_named(Op op, std::vector<ValueId> inputs, Attrs attrs,
                                      const std::vector<std::string>& names) {
  std::vector<std::optional<ValueType>> types;
  for (ValueId id : inputs) {
    types.push_back(id == kNoValue ? std::nullopt : std::optional(value(id).type));
  }
  std::vector<ValueType> results;
  try {
    results = infer_types(op, types, attrs);
    attrs = checked_attrs(info(op), attrs);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{} = {}", names.empty() ? "" : names[0], error.what()));
  }
  OCTAVO_CHECK(results.size() == names.size(), "{} has {} results, but {} names are given",
               octavo::name(op), results.size(), names.size());
  const auto max_inputs = static_cast<size_t>(std::max(0, info(op).max_inputs));
  inputs.resize(std::max(inputs.size(), max_inputs), kNoValue);
  return add_typed(op, std::move(inputs), std::move(attrs), names, std::move(results));
}

Rate Graph::rate_of(const std::vector<ValueId>& inputs) const {
  Rate rate = Rate::model;
  for (ValueId id : inputs) {
    if (id != kNoValue) rate = join(rate, value(id).rate);
  }
  return rate;
}

std::vector<ValueId> Graph::add_copy(const Graph& source, NodeId id, std::vector<ValueId> inputs) {
  const Node& node = source.node(id);
  bool same = inputs.size() == node.inputs.size();
  for (size_t i = 0; i < inputs.size() && same; ++i) {
    const ValueId from = node.inputs[i], to = inputs[i];
    same =
        from == kNoValue || to == kNoValue ? from == to : source.value(from).type == value(to).type;
  }
  std::vector<std::string> names;
  std::vector<ValueType> types;
  for (ValueId output : node.outputs) {
    names.push_back(source.value(output).name);
    types.push_back(source.value(output).type);
  }
  return same ? add_typed(node.op, std::move(inputs), node.attrs, names, std::move(types))
              : add_named(node.op, std::move(inputs), node.attrs, names);
}

std::vector<ValueId> Graph::add_typed(Op op, std::vector<ValueId> inputs, Attrs attrs,
                                      const std::vector<std::string>& names,
                                      std::vector<ValueType> types) {
  const Rate rate = rate_of(inputs);
  const auto node = static_cast<NodeId>(nodes_.size());
  std::vector<ValueId> outputs;
  for (size_t i = 0; i < names.size(); ++i) {
    outputs.push_back(add_value({names[i], std::move(types[i]), rate, node, {}}));
  }
  nodes_.push_back({op, std::move(inputs), outputs, std::move(attrs)});
  return outputs;
}

void Graph::add_output(std::string_view output_name, ValueId id) {
  value(id);
  for (const Output& output : outputs_) {
    OCTAVO_CHECK(output.name != output_name, "graph '{}' has two outputs named '{}'", name,
                 output_name);
  }
  outputs_.push_back({std::string(output_name), id});
}

const Value& Graph::value(ValueId id) const {
  OCTAVO_ASSERT(id >= 0 && static_cast<size_t>(id) < values_.size());
  return values_[static_cast<size_t>(id)];
}
Value& Graph::mutable_value(ValueId id) {
  OCTAVO_ASSERT(id >= 0 && static_cast<size_t>(id) < values_.size());
  return values_[static_cast<size_t>(id)];
}
const Node& Graph::node(NodeId id) const {
  OCTAVO_ASSERT(id >= 0 && static_cast<size_t>(id) < nodes_.size());
  return nodes_[static_cast<size_t>(id)];
}

std::optional<ValueId> Graph::find(std::string_view value_name) const {
  const auto at = by_name_.find(value_name);
  return at == by_name_.end() ? std::nullopt : std::optional(at->second);
}

std::vector<std::string> Graph::symbols() const {
  std::vector<std::string> result;
  for (const Value& v : values_) {
    for (const Dim& dim : v.type.shape) dim.collect_symbols(result);
  }
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<NodeId> Graph::users(ValueId id) const {
  std::vector<NodeId> result;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const std::vector<ValueId>& in = nodes_[i].inputs;
    if (std::find(in.begin(), in.end(), id) != in.end()) result.push_back(static_cast<NodeId>(i));
  }
  return result;
}

bool Graph::is_output(ValueId id) const {
  return std::any_of(outputs_.begin(), outputs_.end(),
                     [id](const Output& output) { return output.value == id; });
}

void Graph::replace_uses(ValueId from, ValueId to) {
  for (Node& node : nodes_) std::replace(node.inputs.begin(), node.inputs.end(), from, to);
  for (Output& output : outputs_) {
    if (output.value == from) output.value = to;
  }
}

std::string Graph::unique_name(std::string_view base) const {
  std::string candidate(base);
  for (int i = 2; find(candidate); ++i) candidate = fmt::format("{}#{}", base, i);
  return candidate;
}

std::map<Rate, Dim> flops_by_rate(const Graph& graph) {
  std::map<Rate, Dim> result;
  for (const Node& node : graph.nodes()) {
    std::vector<std::optional<ValueType>> inputs;
    for (ValueId id : node.inputs) {
      inputs.push_back(id == kNoValue ? std::nullopt : std::optional(graph.value(id).type));
    }
    std::vector<ValueType> outputs;
    for (ValueId id : node.outputs) outputs.push_back(graph.value(id).type);
    Dim& sum = result[graph.value(node.outputs.front()).rate];
    sum = sum + info(node.op).flops(inputs, outputs, node.attrs);
  }
  return result;
}

}  // namespace octavo
