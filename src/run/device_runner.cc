// Runs a plan on a device. Every operand has a fixed address, so that launches can be recorded once
// and replayed: inputs are copied into a block of the runner's, outputs out of one. Inputs that
// follow each other in one allocation as they do in the block are one copy, and an input that
// lies on the device and was there at the last run is not copied again (tensors on a device do not
// change).
#include "base/check.h"
#include "run/runner.h"

namespace octavo {
namespace {

class DeviceRunner : public Runner {
 public:
  explicit DeviceRunner(std::shared_ptr<const Plan> plan);
  TensorMap run(std::vector<Tensor> inputs, const Observer& observer, Results results) override;
  std::vector<double> time(const std::vector<std::vector<Tensor>>& runs) override;

 private:
  struct Block {
    std::shared_ptr<void> memory;
    std::vector<size_t> offsets;
    std::byte* at(size_t i) const { return static_cast<std::byte*>(memory.get()) + offsets[i]; }
  };

  Device& device() const { return *plan_->device; }
  Block make_block(const std::vector<PlannedTensor>& tensors, const char* what) const;
  const void* address(const Slot& slot) const;
  void take(std::vector<Tensor> inputs);
  void start();
  void launch_all() const;
  void launch_timed();
  void launch_observed(const Observer& observer) const;
  void copy_outputs() const;
  TensorMap results(Results where) const;

  std::shared_ptr<void> arena_, workspace_;
  Block inputs_, outputs_;
  std::vector<Tensor> taken_;  // what inputs_ holds, where that came from the device
  bool has_run_ = false;
  std::unique_ptr<Recording> recording_;
};

DeviceRunner::Block DeviceRunner::make_block(const std::vector<PlannedTensor>& tensors,
                                             const char* what) const {
  Block block;
  size_t bytes = 0;
  for (const PlannedTensor& tensor : tensors) {
    block.offsets.push_back(bytes);
    bytes += device_slot_bytes(tensor);
  }
  block.memory = device().allocate(bytes, fmt::format("{} of {}", what, plan_->graph.name));
  return block;
}

DeviceRunner::DeviceRunner(std::shared_ptr<const Plan> plan)
    : Runner(std::move(plan)), taken_(plan_->inputs.size()) {
  const std::string& graph = plan_->graph.name;
  arena_ = device().allocate(plan_->arena_bytes, "the activations of " + graph);
  workspace_ = device().allocate(plan_->workspace_bytes, "the workspace of " + graph);
  inputs_ = make_block(plan_->inputs, "the inputs");
  outputs_ = make_block(plan_->outputs, "the outputs");
  set_pointers([this](const Slot& slot) { return address(slot); });
}

const void* DeviceRunner::address(const Slot& slot) const {
  switch (slot.kind) {
    case Slot::Kind::none:
      return nullptr;
    case Slot::Kind::arena:
      return static_cast<const std::byte*>(arena_.get()) + slot.offset;
    case Slot::Kind::constant: {
      const Tensor& resident = plan_->resident[slot.offset];
      if (!resident.has_data()) return nullptr;  // no kernel reads it
      return static_cast<const std::byte*>(resident.address()) + slot.byte;
    }
    case Slot::Kind::input:
      return inputs_.at(slot.offset) + slot.byte;
    case Slot::Kind::output:
      return outputs_.at(slot.offset) + slot.byte;
  }
  return nullptr;
}

void DeviceRunner::take(std::vector<Tensor> inputs) {
  const std::byte* from = nullptr;
  std::byte* to = nullptr;
  size_t bytes = 0, next = 0;
  const auto flush = [&] {
    if (bytes > 0) device().copy(to, from, bytes);
    bytes = 0;
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].is_on_device()) {
      device().upload(inputs_.at(i), inputs[i].data(), inputs[i].bytes());
      taken_[i] = Tensor();
      continue;
    }
    if (taken_[i].has_data() && taken_[i].address() == inputs[i].address()) continue;
    const auto* address = static_cast<const std::byte*>(inputs[i].address());
    const bool continues = bytes > 0 && i == next && inputs[i].shares_storage(taken_[i - 1]) &&
                           address - from == inputs_.at(i) - to;
    if (!continues) {
      flush();
      from = address;
      to = inputs_.at(i);
    }
    bytes = static_cast<size_t>(address - from) + inputs[i].bytes();
    next = i + 1;
    taken_[i] = std::move(inputs[i]);
  }
  flush();
}

void DeviceRunner::copy_outputs() const {
  for (const Plan::OutputCopy& copy : plan_->output_copies) {
    const PlannedTensor& output = plan_->outputs[copy.output];
    device().copy(outputs_.at(copy.output), address(copy.from),
                  Tensor::typed(output.dtype, output.shape).bytes());
  }
}

void DeviceRunner::launch_all() const {
  for (size_t n = 0; n < plan_->nodes.size(); ++n) launch(n, workspace_.get());
  copy_outputs();
}

void DeviceRunner::launch_timed() {
  std::vector<std::function<void()>> work;
  for (size_t n = 0; n < plan_->nodes.size(); ++n) {
    work.emplace_back([this, n] { launch(n, workspace_.get()); });
  }
  const std::vector<double> seconds = device().time(work);
  for (size_t n = 0; n < seconds.size(); ++n) count(n, seconds[n]);
  copy_outputs();
}

void DeviceRunner::launch_observed(const Observer& observer) const {
  for (size_t n = 0; n < plan_->nodes.size(); ++n) {
    launch(n, workspace_.get());
    const PlannedNode& node = plan_->nodes[n];
    for (size_t k = 0; k < node.output_values.size(); ++k) {
      const Operand& o = node.call.outputs[k];
      const Tensor made = Tensor::on_device(o.dtype, o.shape, pointers_[n].outputs[k], nullptr);
      observer(plan_->graph.value(node.output_values[k]).name, to_host(device(), made));
    }
  }
  copy_outputs();
}

// Copies: the block is written again by the next run.
TensorMap DeviceRunner::results(Results where) const {
  TensorMap results;
  for (size_t i = 0; i < plan_->outputs.size(); ++i) {
    const PlannedTensor& output = plan_->outputs[i];
    const Tensor made = Tensor::on_device(output.dtype, output.shape, outputs_.at(i), nullptr);
    if (where == Results::on_host) {
      results[output.name] = to_host(device(), made);
      continue;
    }
    const auto memory = device().allocate(made.bytes(), output.name);
    device().copy(memory.get(), made.address(), made.bytes());
    results[output.name] = Tensor::on_device(output.dtype, output.shape, memory.get(), memory);
  }
  return results;
}

// The first run launches one by one, as kernels may have to be loaded; the second is recorded.
void DeviceRunner::start() {
  if (!plan_->record || !has_run_) {
    launch_all();
  } else {
    if (!recording_) recording_ = device().record([this] { launch_all(); });
    recording_->replay();
  }
  has_run_ = true;
}

TensorMap DeviceRunner::run(std::vector<Tensor> inputs, const Observer& observer, Results where) {
  device().activate();
  take(std::move(inputs));
  if (observer) {
    launch_observed(observer);
  } else if (profiling_) {
    launch_timed();
  } else {
    start();
  }
  return results(where);
}

std::vector<double> DeviceRunner::time(const std::vector<std::vector<Tensor>>& runs) {
  device().activate();
  std::vector<std::function<void()>> work;
  for (const std::vector<Tensor>& inputs : runs) {
    work.emplace_back([this, &inputs] {
      take(inputs);
      start();
    });
  }
  return device().time(work);
}

}  // namespace

std::unique_ptr<Runner> make_device_runner(std::shared_ptr<const Plan> plan) {
  return std::make_unique<DeviceRunner>(std::move(plan));
}

}  // namespace octavo
