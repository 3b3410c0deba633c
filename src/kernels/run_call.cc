#include "base/check.h"
#include "kernels/kernel.h"

namespace octavo {
namespace {

const void* checked_input(const Call& call, const std::vector<Tensor>& inputs, size_t i) {
  const auto& operand = call.inputs[i];
  const Tensor& tensor = inputs[i];
  if (!operand) {
    OCTAVO_CHECK(!tensor.has_data(), "[{}] input {} of {} is given but absent in the call",
                 call.name, i, name(call.op));
    return nullptr;
  }
  OCTAVO_CHECK(tensor.has_data(), "[{}] input {} of {} has no data", call.name, i, name(call.op));
  OCTAVO_CHECK(tensor.dtype() == operand->dtype && tensor.shape() == operand->shape,
               "[{}] input {} of {} is {}{} but the call says {}{}", call.name, i, name(call.op),
               name(tensor.dtype()), to_string(tensor.shape()), name(operand->dtype),
               to_string(operand->shape));
  return tensor.data();
}

}  // namespace

std::vector<Tensor> run_kernel(const Kernel& kernel, const Call& call,
                               std::span<const void* const> inputs) {
  const auto state = kernel.prepare ? kernel.prepare(call) : nullptr;
  std::vector<Tensor> results;
  std::vector<void*> destinations;
  for (const Operand& output : call.outputs) {
    results.push_back(Tensor::empty(output.dtype, output.shape));
    destinations.push_back(results.back().mutable_data());
  }
  const size_t bytes = kernel.workspace ? kernel.workspace(call, state.get()) : 0;
  Tensor workspace = Tensor::empty(DType::u8, {static_cast<int64_t>(bytes)});
  kernel.launch(call, state.get(), {inputs, destinations, workspace.mutable_data()});
  return results;
}

std::vector<Tensor> run_call(const Call& call, const std::vector<Tensor>& inputs,
                             bool reference_only) {
  OCTAVO_CHECK(inputs.size() == call.inputs.size(), "[{}] {} has {} inputs but {} were given",
               call.name, name(call.op), call.inputs.size(), inputs.size());
  std::vector<const void*> sources;
  for (size_t i = 0; i < inputs.size(); ++i) sources.push_back(checked_input(call, inputs, i));

  return run_kernel(*select_kernel(call, reference_only).kernel, call, sources);
}

}  // namespace octavo
