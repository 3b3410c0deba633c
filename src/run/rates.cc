#include "run/rates.h"

#include <algorithm>

#include "base/check.h"

namespace octavo {
namespace {

constexpr const char* kBatch = "B";

bool changes_by_step(Rate rate) { return join(rate, Rate::request) != Rate::request; }

bool has_batch(const SymShape& shape) {
  std::vector<std::string> symbols;
  for (const Dim& dim : shape) dim.collect_symbols(symbols);
  return std::find(symbols.begin(), symbols.end(), kBatch) != symbols.end();
}

// Do the values of all steps follow each other in memory?
bool are_rows_of_one(const std::vector<TensorMap>& steps, const std::string& name) {
  const auto* first = static_cast<const std::byte*>(steps[0].at(name).address());
  for (size_t k = 0; k < steps.size(); ++k) {
    const Tensor& tensor = steps[k].at(name);
    if (!tensor.is_on_device() || tensor.address() != first + k * tensor.bytes()) return false;
  }
  return true;
}

}  // namespace

RateRunner::RateRunner(const Graph& graph, const PlanOptions& options,
                       const std::shared_ptr<StateCache>& cache)
    : RateRunner(graph, hoist(graph), options, cache) {}

RateRunner::RateRunner(const Graph& graph, StagedGraph stages, const PlanOptions& options,
                       const std::shared_ptr<StateCache>& cache)
    : request_(std::move(stages.request), options, false, cache),
      schedule_(std::move(stages.schedule), options, false, cache),
      trajectory_(std::move(stages.trajectory), options, false, cache),
      step_(std::move(stages.step), options, true, cache),
      device_(options.device) {
  for (const Graph::Output& output : graph.outputs()) {
    if (!output.name.starts_with(kTapPrefix)) results_.insert(output.name);
  }
}

void RateRunner::begin(const Bindings& bindings, const TensorMap& request,
                       const std::vector<TensorMap>& schedule) {
  request_values_ = request;
  step_values_ = schedule;
  if (device_) {
    for (auto& [name, tensor] : request_values_) tensor = to_device(*device_, tensor, name);
  }
  if (!request_.empty()) {
    request_values_.merge(request_.run(bindings, request_values_, nullptr, Results::on_device));
  }
  run_all_steps(schedule_, bindings);
  run_all_steps(trajectory_, bindings);
  if (device_) pack_steps(*device_);
}

void RateRunner::run_all_steps(Stage& stage, const Bindings& bindings) {
  if (stage.empty()) return;
  if (batch_parallel(stage.graph(), kBatch)) return run_as_one_batch(stage, bindings);
  for (TensorMap& values : step_values_) {
    TensorMap inputs = values;
    inputs.insert(request_values_.begin(), request_values_.end());
    values.merge(stage.run(bindings, inputs, nullptr, Results::on_device));
  }
}

// Tensors one below the other along axis 0.
Tensor RateRunner::stack(const std::vector<const Tensor*>& parts) const {
  Shape shape = parts.front()->shape();
  shape[0] = 0;
  for (const Tensor* part : parts) shape[0] += part->dim(0);
  const DType dtype = parts.front()->dtype();
  if (!device_) {
    Tensor result = Tensor::empty(dtype, shape);
    char* to = static_cast<char*>(result.mutable_data());
    for (const Tensor* part : parts) to = std::copy_n(part->as<char>(), part->bytes(), to);
    return result;
  }
  const auto memory = device_->allocate(Tensor::typed(dtype, shape).bytes(), "stacked steps");
  auto* to = static_cast<std::byte*>(memory.get());
  for (const Tensor* part : parts) {
    if (part->is_on_device()) {
      device_->copy(to, part->address(), part->bytes());
    } else {
      device_->upload(to, part->data(), part->bytes());
    }
    to += part->bytes();
  }
  return Tensor::on_device(dtype, shape, memory.get(), memory);
}

// What changes from step to step is stacked, what only depends on the sample is repeated.
TensorMap RateRunner::batch_inputs(const Graph& graph) const {
  TensorMap inputs;
  for (ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    std::vector<const Tensor*> parts;
    if (changes_by_step(value.rate)) {
      for (const TensorMap& values : step_values_) parts.push_back(&values.at(value.name));
    } else {
      const size_t copies = has_batch(value.type.shape) ? step_values_.size() : 1;
      parts.assign(copies, &request_values_.at(value.name));
    }
    inputs[value.name] = parts.size() == 1 ? *parts[0] : stack(parts);
  }
  return inputs;
}

void RateRunner::run_as_one_batch(Stage& stage, const Bindings& bindings) {
  const auto steps = static_cast<int64_t>(step_values_.size());
  Bindings all = bindings;
  all[kBatch] *= steps;
  const TensorMap made = stage.run(all, batch_inputs(stage.graph()), nullptr, Results::on_device);
  for (const auto& [name, tensor] : made) {
    const int64_t rows = tensor.dim(0) / steps;
    for (int64_t k = 0; k < steps; ++k) {
      step_values_[static_cast<size_t>(k)][name] = tensor.rows(k * rows, (k + 1) * rows);
    }
  }
}

// What a step takes from before lies in one block a step, in the order of the step's inputs, so
// that it reaches a device plan as one copy.
void RateRunner::pack_steps(Device& device) {
  std::vector<std::pair<std::string, size_t>> offsets;
  size_t pitch = 0;
  for (ValueId id : step_.graph().inputs()) {
    const std::string& name = step_.graph().value(id).name;
    const auto found = step_values_[0].find(name);
    if (found == step_values_[0].end()) continue;
    offsets.emplace_back(name, pitch);
    pitch += device_slot_bytes(found->second);
  }
  const auto memory = device.allocate(pitch * step_values_.size(), "what the steps take");
  device.fill(memory.get(), 0, pitch * step_values_.size());  // gaps are copied too
  auto* const block = static_cast<std::byte*>(memory.get());
  for (const auto& [name, offset] : offsets) {
    const Tensor first = step_values_[0].at(name);
    const bool together = are_rows_of_one(step_values_, name);
    if (together) {
      device.copy_2d(block + offset, pitch, first.address(), first.bytes(), first.bytes(),
                     step_values_.size());
    }
    for (size_t k = 0; k < step_values_.size(); ++k) {
      Tensor& tensor = step_values_[k].at(name);
      std::byte* const to = block + k * pitch + offset;
      if (!together && tensor.is_on_device()) device.copy(to, tensor.address(), tensor.bytes());
      if (!together && !tensor.is_on_device()) device.upload(to, tensor.data(), tensor.bytes());
      tensor = Tensor::on_device(tensor.dtype(), tensor.shape(), to, memory);
    }
  }
}

void RateRunner::report_taps(const TensorMap& values, const Observer& observer) const {
  for (const auto& [name, tensor] : values) {
    if (!name.starts_with(kTapPrefix)) continue;
    observer(name.substr(kTapPrefix.size()),
             tensor.is_on_device() ? to_host(*device_, tensor) : tensor);
  }
}

TensorMap RateRunner::inputs_of_step(size_t k, const TensorMap& inputs) const {
  OCTAVO_ASSERT(k < step_values_.size());
  TensorMap all = inputs;
  all.insert(request_values_.begin(), request_values_.end());
  all.insert(step_values_[k].begin(), step_values_[k].end());
  return all;
}

std::vector<double> RateRunner::time_steps(const Bindings& bindings,
                                           const std::vector<size_t>& steps,
                                           const TensorMap& inputs) {
  TensorMap placed = inputs;
  for (auto& [name, tensor] : placed) {
    if (device_) tensor = to_device(*device_, tensor, name);
  }
  std::vector<TensorMap> runs;
  for (const size_t k : steps) runs.push_back(inputs_of_step(k, placed));
  return step_.time(bindings, runs);
}

std::vector<TensorMap> RateRunner::inputs_of_loop(const EulerLoop& loop,
                                                  const TensorMap& inputs) const {
  OCTAVO_CHECK(!loop.factors.empty() && loop.factors.size() <= step_values_.size(),
               "a loop of {} steps over a schedule of {}", loop.factors.size(),
               step_values_.size());
  TensorMap placed = inputs;
  for (auto& [name, tensor] : placed) {
    if (name != loop.state) tensor = to_device(*device_, tensor, name);
  }
  std::vector<TensorMap> steps;
  for (size_t k = 0; k < loop.factors.size(); ++k) steps.push_back(inputs_of_step(k, placed));
  return steps;
}

Tensor RateRunner::loop(const Bindings& bindings, const EulerLoop& loop, const TensorMap& inputs,
                        const StepDone& done) {
  return step_.loop(bindings, loop, inputs_of_loop(loop, inputs), done);
}

std::vector<double> RateRunner::time_loops(const Bindings& bindings, const EulerLoop& loop,
                                           const TensorMap& inputs, int times) {
  return step_.time_loops(bindings, loop, inputs_of_loop(loop, inputs), times);
}

TensorMap RateRunner::step(const Bindings& bindings, size_t k, const TensorMap& inputs,
                           const Observer& observer) {
  TensorMap results = step_.run(bindings, inputs_of_step(k, inputs), observer);
  for (const TensorMap* earlier : {&request_values_, &step_values_[k]}) {
    for (const auto& [name, tensor] : *earlier) {
      if (!results_.contains(name)) continue;
      results.emplace(name, tensor.is_on_device() ? to_host(*device_, tensor) : tensor);
    }
    if (observer) report_taps(*earlier, observer);
  }
  return results;
}

}  // namespace octavo
