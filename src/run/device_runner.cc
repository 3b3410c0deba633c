// Runs a plan on a device. Every operand has a fixed address, so that launches can be recorded once
// and replayed: inputs are copied into a block of the runner's, outputs out of one. Inputs that
// follow each other in one allocation as they do in the block are one copy, and an input that
// lies on the device and was there at the last run is not copied again (tensors on a device do not
// change).
#include <deque>

#include "base/check.h"
#include "run/device_loop.h"
#include "run/runner.h"

namespace octavo {
namespace {

class DeviceRunner : public Runner {
 public:
  explicit DeviceRunner(std::shared_ptr<const Plan> plan);
  TensorMap run(std::vector<Tensor> inputs, const Observer& observer, Results results) override;
  std::vector<double> time(const std::vector<std::vector<Tensor>>& runs) override;
  Tensor loop(const EulerLoop& loop, const std::vector<std::vector<Tensor>>& steps,
              const StepDone& done) override;
  std::vector<double> time_loops(const EulerLoop& loop,
                                 const std::vector<std::vector<Tensor>>& steps, int times) override;

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
  // The index of the state among the inputs.
  size_t begin_loop(const EulerLoop& loop, const std::vector<std::vector<Tensor>>& steps);
  void launch_all() const;
  void launch_timed();
  void launch_observed(const Observer& observer) const;
  Tensor download(size_t node, size_t output) const;
  void copy_outputs() const;
  TensorMap results(Results where) const;

  std::shared_ptr<void> arena_, workspace_;
  Block inputs_, outputs_;
  std::vector<Tensor> taken_;  // what inputs_ holds, where that came from the device
  bool has_run_ = false;
  std::unique_ptr<Recording> recording_;
  DeviceLoop loop_;
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
    : Runner(std::move(plan)),
      taken_(plan_->inputs.size()),
      loop_(
          plan_->device, [this] { launch_all(); }, plan_->record) {
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
  for (size_t i = 0; i < plan_->launches.size(); ++i) launch(i, workspace_.get());
  copy_outputs();
}

void DeviceRunner::launch_timed() {
  std::vector<std::function<void()>> work;
  for (size_t i = 0; i < plan_->launches.size(); ++i) {
    work.emplace_back([this, i] { launch(i, workspace_.get()); });
  }
  const std::vector<double> seconds = device().time(work);
  for (size_t i = 0; i < seconds.size(); ++i) count(i, seconds[i]);
  copy_outputs();
}

// What a node has just made, also where its rows lie apart.
Tensor DeviceRunner::download(size_t n, size_t k) const {
  const PlannedNode& node = plan_->nodes[n];
  const Operand& o = node.call.outputs[k];
  const Slot& slot = node.outputs[k];
  void* const address = pointers_[n].outputs[k];
  if (slot.pitch == 0) {
    return to_host(device(), Tensor::on_device(o.dtype, o.shape, address, nullptr));
  }
  const size_t bytes = Tensor::typed(o.dtype, o.shape).bytes();
  const auto dense = device().allocate(bytes, node.call.name);
  device().copy_2d(dense.get(), slot.row, address, slot.pitch, slot.row, bytes / slot.row);
  return to_host(device(), Tensor::on_device(o.dtype, o.shape, dense.get(), nullptr));
}

void DeviceRunner::launch_observed(const Observer& observer) const {
  for (size_t i = 0; i < plan_->launches.size(); ++i) {
    launch(i, workspace_.get());
    const Launch& launched = plan_->launches[i];
    for (size_t n = launched.first; n < launched.first + launched.count; ++n) {
      const PlannedNode& node = plan_->nodes[n];
      for (size_t k = 0; k < node.output_values.size(); ++k) {
        observer(plan_->graph.value(node.output_values[k]).name, download(n, k));
      }
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

size_t index_of(const std::vector<PlannedTensor>& tensors, const std::string& name) {
  size_t i = 0;
  while (i < tensors.size() && tensors[i].name != name) ++i;
  OCTAVO_CHECK(i < tensors.size(), "a loop over \"{}\", which is not of every step", name);
  return i;
}

size_t DeviceRunner::begin_loop(const EulerLoop& loop,
                                const std::vector<std::vector<Tensor>>& steps) {
  const size_t state = index_of(plan_->inputs, loop.state);
  const size_t slope = index_of(plan_->outputs, loop.slope);
  const PlannedTensor &x = plan_->inputs[state], &v = plan_->outputs[slope];
  OCTAVO_CHECK(x.dtype == DType::f32 && v.dtype == DType::f32 && x.shape == v.shape,
               "[{}] a loop over \"{}\", {}{}, by \"{}\", {}{}: expected f32 of one shape",
               plan_->graph.name, x.name, name(x.dtype), to_string(x.shape), v.name, name(v.dtype),
               to_string(v.shape));
  OCTAVO_CHECK(!loop.guidance || x.shape.at(0) % 2 == 0,
               "[{}] a guided loop over \"{}\", {}: expected an even number of rows",
               plan_->graph.name, x.name, to_string(x.shape));
  take(steps[0]);
  std::vector<void*> places;
  for (size_t i = 0; i < plan_->inputs.size(); ++i) places.push_back(inputs_.at(i));
  const std::vector<StepData> data = changing_data(steps, state, places);
  std::fill(taken_.begin(), taken_.end(), Tensor());  // the loop writes over them
  loop_.begin(loop,
              {.state = reinterpret_cast<float*>(inputs_.at(state)),
               .slope = reinterpret_cast<const float*>(outputs_.at(slope)),
               .elements = element_count(x.shape),
               .guided = loop.guidance.has_value()},
              data);
  return state;
}

// A few steps are on their way while one is waited for.
Tensor DeviceRunner::loop(const EulerLoop& loop, const std::vector<std::vector<Tensor>>& steps,
                          const StepDone& done) {
  constexpr size_t kAhead = 3;
  device().activate();
  const size_t state = begin_loop(loop, steps);
  std::deque<std::unique_ptr<Mark>> marks;
  size_t finished = 0;
  const auto finish_one = [&] {
    marks.front()->wait();
    marks.pop_front();
    done(finished++);
  };
  for (size_t k = 0; k < steps.size(); ++k) {
    loop_.launch_step();
    if (!done) continue;
    marks.push_back(device().mark());
    if (marks.size() > kAhead) finish_one();
  }
  while (!marks.empty()) finish_one();
  const PlannedTensor& x = plan_->inputs[state];
  return to_host(device(), Tensor::on_device(x.dtype, x.shape, inputs_.at(state), nullptr));
}

std::vector<double> DeviceRunner::time_loops(const EulerLoop& loop,
                                             const std::vector<std::vector<Tensor>>& steps,
                                             int times) {
  device().activate();
  std::vector<double> seconds;
  for (int i = -1; i < times; ++i) {  // the first is not counted
    begin_loop(loop, steps);
    const double taken = device().time({[&] {
      for (size_t k = 0; k < steps.size(); ++k) loop_.launch_step();
    }})[0];
    if (i >= 0) seconds.push_back(taken);
  }
  return seconds;
}

}  // namespace

std::unique_ptr<Runner> make_device_runner(std::shared_ptr<const Plan> plan) {
  return std::make_unique<DeviceRunner>(std::move(plan));
}

}  // namespace octavo
