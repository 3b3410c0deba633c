#include "run/executor.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include <fmt/ranges.h>

#include "base/check.h"

namespace octavo {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string names_of(const std::vector<PlannedTensor>& tensors) {
  std::vector<std::string> names;
  for (const PlannedTensor& tensor : tensors) names.push_back(tensor.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// Kernels read elements through typed pointers; a view of a file may start anywhere.
bool is_aligned(const Tensor& tensor) {
  const auto element = static_cast<uintptr_t>(std::max(1, info(tensor.dtype()).bits / 8));
  return reinterpret_cast<uintptr_t>(tensor.data()) % element == 0;
}

}  // namespace

Executor::Executor(std::shared_ptr<const Plan> plan)
    : plan_(std::move(plan)),
      arena_(Tensor::empty(DType::u8, {static_cast<int64_t>(plan_->arena_bytes)})),
      workspace_(Tensor::empty(DType::u8, {static_cast<int64_t>(plan_->workspace_bytes)})),
      inputs_(plan_->inputs.size()),
      outputs_(plan_->outputs.size()) {
  for (const PlannedNode& node : plan_->nodes) {
    Pointers pointers;
    pointers.inputs.resize(node.inputs.size());
    pointers.outputs.resize(node.outputs.size());
    pointers_.push_back(std::move(pointers));
    NodeProfile row{node.call.name, name(node.call.op), node.kernel ? node.kernel->name : "alias"};
    row.flops = node.flops;
    row.bytes = node.bytes;
    profile_.push_back(std::move(row));
  }
}

// The address of a slot; arena, constants and what run() was given.
const void* Executor::address(const Slot& slot) const {
  switch (slot.kind) {
    case Slot::Kind::none:
      return nullptr;
    case Slot::Kind::arena:
      return arena_.as<std::byte>() + slot.offset;
    case Slot::Kind::constant:
      return plan_->constants[slot.offset].data();
    case Slot::Kind::input:
      return inputs_[slot.offset].data();
    case Slot::Kind::output:
      return outputs_[slot.offset].data();
  }
  return nullptr;
}

void Executor::take_inputs(const TensorMap& inputs) {
  const auto& wanted = plan_->inputs;
  for (const auto& given : inputs) {
    const bool known = std::any_of(wanted.begin(), wanted.end(),
                                   [&](const PlannedTensor& t) { return t.name == given.first; });
    OCTAVO_CHECK(known, "[{}] input \"{}\" is not one of: {}", plan_->graph.name, given.first,
                 names_of(wanted));
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto found = inputs.find(wanted[i].name);
    OCTAVO_CHECK(found != inputs.end() && found->second.has_data(),
                 "[{}] input \"{}\" is missing, expected {}{}", plan_->graph.name, wanted[i].name,
                 name(wanted[i].dtype), to_string(wanted[i].shape));
    const Tensor& tensor = found->second;
    OCTAVO_CHECK(tensor.dtype() == wanted[i].dtype && tensor.shape() == wanted[i].shape,
                 "[{}] input \"{}\" is {}{}, expected {}{}", plan_->graph.name, wanted[i].name,
                 name(tensor.dtype()), to_string(tensor.shape()), name(wanted[i].dtype),
                 to_string(wanted[i].shape));
    inputs_[i] = is_aligned(tensor) ? tensor : tensor.clone();
  }
}

void Executor::patch_pointers() {
  for (size_t n = 0; n < plan_->nodes.size(); ++n) {
    const PlannedNode& node = plan_->nodes[n];
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      pointers_[n].inputs[k] = address(node.inputs[k]);
    }
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      pointers_[n].outputs[k] = const_cast<void*>(address(node.outputs[k]));
    }
  }
}

void Executor::launch(size_t n) {
  const PlannedNode& node = plan_->nodes[n];
  if (node.kernel == nullptr) return;
  const Buffers buffers{pointers_[n].inputs, pointers_[n].outputs, workspace_.mutable_data()};
  if (!profiling_) return node.kernel->launch(node.call, node.state.get(), buffers);
  const auto start = Clock::now();
  node.kernel->launch(node.call, node.state.get(), buffers);
  profile_[n].seconds += seconds_since(start);
  ++profile_[n].calls;
}

void Executor::observe(size_t n, const Observer& observer) const {
  const PlannedNode& node = plan_->nodes[n];
  for (size_t k = 0; k < node.output_values.size(); ++k) {
    const Operand& operand = node.call.outputs[k];
    observer(plan_->graph.value(node.output_values[k]).name,
             Tensor::view(operand.dtype, operand.shape, pointers_[n].outputs[k], nullptr));
  }
}

void Executor::set_profiling(bool on) {
  profiling_ = on;
  if (!on) return;
  for (NodeProfile& row : profile_) row.seconds = 0, row.calls = 0;
}

TensorMap Executor::run(const TensorMap& inputs, const Observer& observer) {
  take_inputs(inputs);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i] = Tensor::empty(plan_->outputs[i].dtype, plan_->outputs[i].shape);
  }
  patch_pointers();
  for (size_t n = 0; n < plan_->nodes.size(); ++n) {
    launch(n);
    if (observer) observe(n, observer);
  }
  for (const Plan::OutputCopy& copy : plan_->output_copies) {
    Tensor& output = outputs_[copy.output];
    std::memcpy(output.mutable_data(), address(copy.from), output.bytes());
  }
  TensorMap results;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    results[plan_->outputs[i].name] = std::exchange(outputs_[i], Tensor());
  }
  for (Tensor& input : inputs_) input = Tensor();
  return results;
}

}  // namespace octavo
