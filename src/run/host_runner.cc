#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "run/runner.h"

namespace octavo {
namespace {

using Clock = std::chrono::steady_clock;

Tensor bytes(size_t n) { return Tensor::empty(DType::u8, {static_cast<int64_t>(n)}); }

// Kernels read elements through typed pointers; a view of a file may start anywhere.
bool is_aligned(const Tensor& tensor) {
  const auto element = static_cast<uintptr_t>(std::max(1, info(tensor.dtype()).bits / 8));
  return reinterpret_cast<uintptr_t>(tensor.data()) % element == 0;
}

class HostRunner : public Runner {
 public:
  explicit HostRunner(std::shared_ptr<const Plan> plan)
      : Runner(std::move(plan)),
        arena_(bytes(plan_->arena_bytes)),
        workspace_(bytes(plan_->workspace_bytes)),
        outputs_(plan_->outputs.size()) {}

  TensorMap run(std::vector<Tensor> inputs, const Observer& observer, Results) override;
  std::vector<double> time(const std::vector<std::vector<Tensor>>& runs) override;

 private:
  const void* address(const Slot& slot) const;
  void launch_timed(size_t index);
  Tensor made(size_t node, size_t output) const;
  void observe(const Launch& launch, const Observer& observer) const;

  Tensor arena_, workspace_;
  std::vector<Tensor> inputs_, outputs_;  // of the run in progress
};

const void* HostRunner::address(const Slot& slot) const {
  switch (slot.kind) {
    case Slot::Kind::none:
      return nullptr;
    case Slot::Kind::arena:
      return arena_.as<std::byte>() + slot.offset;
    case Slot::Kind::constant:
      return plan_->constants[slot.offset].as<std::byte>() + slot.byte;
    case Slot::Kind::input:
      return inputs_[slot.offset].as<std::byte>() + slot.byte;
    case Slot::Kind::output:
      return outputs_[slot.offset].as<std::byte>() + slot.byte;
  }
  return nullptr;
}

void HostRunner::launch_timed(size_t index) {
  const auto start = Clock::now();
  launch(index, workspace_.mutable_data());
  if (profiling_) count(index, std::chrono::duration<double>(Clock::now() - start).count());
}

// What a node has just made, also where its rows lie apart.
Tensor HostRunner::made(size_t n, size_t k) const {
  const Operand& operand = plan_->nodes[n].call.outputs[k];
  const Slot& slot = plan_->nodes[n].outputs[k];
  const auto* from = static_cast<const std::byte*>(pointers_[n].outputs[k]);
  if (slot.pitch == 0) return Tensor::view(operand.dtype, operand.shape, from, nullptr);
  Tensor dense = Tensor::empty(operand.dtype, operand.shape);
  auto* to = static_cast<std::byte*>(dense.mutable_data());
  for (size_t done = 0; done < dense.bytes(); done += slot.row, from += slot.pitch) {
    std::memcpy(to + done, from, slot.row);
  }
  return dense;
}

void HostRunner::observe(const Launch& launch, const Observer& observer) const {
  for (size_t n = launch.first; n < launch.first + launch.count; ++n) {
    const PlannedNode& node = plan_->nodes[n];
    for (size_t k = 0; k < node.output_values.size(); ++k) {
      observer(plan_->graph.value(node.output_values[k]).name, made(n, k));
    }
  }
}

TensorMap HostRunner::run(std::vector<Tensor> inputs, const Observer& observer, Results) {
  inputs_ = std::move(inputs);
  for (Tensor& input : inputs_) {
    if (!is_aligned(input)) input = input.clone();
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i] = Tensor::empty(plan_->outputs[i].dtype, plan_->outputs[i].shape);
  }
  set_pointers([this](const Slot& slot) { return address(slot); });
  for (size_t i = 0; i < plan_->launches.size(); ++i) {
    launch_timed(i);
    if (observer) observe(plan_->launches[i], observer);
  }
  for (const Plan::OutputCopy& copy : plan_->output_copies) {
    Tensor& output = outputs_[copy.output];
    std::memcpy(output.mutable_data(), address(copy.from), output.bytes());
  }
  TensorMap results;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    results[plan_->outputs[i].name] = std::exchange(outputs_[i], Tensor());
  }
  inputs_.clear();
  return results;
}

std::vector<double> HostRunner::time(const std::vector<std::vector<Tensor>>& runs) {
  std::vector<double> seconds;
  for (const std::vector<Tensor>& inputs : runs) {
    const auto start = Clock::now();
    run(inputs, nullptr, Results::on_host);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return seconds;
}

}  // namespace

std::unique_ptr<Runner> make_host_runner(std::shared_ptr<const Plan> plan) {
  return std::make_unique<HostRunner>(std::move(plan));
}

}  // namespace octavo
