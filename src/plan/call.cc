#include "plan/call.h"

namespace octavo {
namespace {

Operand make_operand(const Value& value, const Bindings& bindings) {
  return {value.type.dtype, evaluate(value.type.shape, bindings),
          value.constant ? &*value.constant : nullptr};
}

}  // namespace

Call make_call(const Graph& graph, const Node& node, const Bindings& bindings, Device* device) {
  Call call{node.op, node.attrs.substitute(bindings),   {},
            {},      graph.value(node.outputs[0]).name, device};
  for (ValueId id : node.inputs) {
    call.inputs.push_back(id == kNoValue ? std::nullopt
                                         : std::optional(make_operand(graph.value(id), bindings)));
  }
  for (ValueId id : node.outputs) call.outputs.push_back(make_operand(graph.value(id), bindings));
  return call;
}

std::vector<Tensor> evaluate_node(const Graph& graph, const Node& node,
                                  const std::vector<Tensor>& inputs, bool reference_kernels) {
  Call call = make_call(graph, node, {});
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (call.inputs[i]) call.inputs[i]->constant = &inputs[i];
  }
  return run_call(call, inputs, reference_kernels);
}

}  // namespace octavo
