#include "base/check.h"
#include "graph/graph.h"

namespace octavo {

GraphRebuilder::GraphRebuilder(const Graph& source)
    : source_(source), mapped_(source.values().size(), kNoValue) {
  result_.name = source.name;
  for (ValueId id : source.inputs()) {
    const Value& v = source.value(id);
    set(id, result_.add_input(v.name, v.type.dtype, v.type.shape, v.rate));
  }
}

ValueId GraphRebuilder::map(ValueId source_value) {
  if (source_value == kNoValue) return kNoValue;
  const Value& v = source_.value(source_value);
  ValueId& mapped = mapped_[static_cast<size_t>(source_value)];
  if (mapped == kNoValue && v.constant) mapped = result_.add_constant(v.name, *v.constant);
  OCTAVO_CHECK_CODE(internal, mapped != kNoValue, "value '{}' is used before it is rebuilt",
                    v.name);
  return mapped;
}

void GraphRebuilder::set(ValueId source_value, ValueId new_value) {
  source_.value(source_value);
  mapped_[static_cast<size_t>(source_value)] = new_value;
}

std::vector<ValueId> GraphRebuilder::copy(NodeId source_node) {
  const Node& node = source_.node(source_node);
  std::vector<ValueId> inputs;
  for (ValueId id : node.inputs) inputs.push_back(map(id));
  const std::vector<ValueId> outputs = result_.add_copy(source_, source_node, std::move(inputs));
  for (size_t i = 0; i < outputs.size(); ++i) set(node.outputs[i], outputs[i]);
  return outputs;
}

Graph GraphRebuilder::finish() {
  for (const Graph::Output& output : source_.outputs()) {
    result_.add_output(output.name, map(output.value));
  }
  return std::move(result_);
}

}  // namespace octavo
