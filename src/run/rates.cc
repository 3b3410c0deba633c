#include "run/rates.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace octavo {
namespace {

constexpr const char* kBatch = "B";

// Tensors one below the other along axis 0.
Tensor stack(const std::vector<const Tensor*>& parts) {
  Shape shape = parts.front()->shape();
  shape[0] = 0;
  for (const Tensor* part : parts) shape[0] += part->dim(0);
  Tensor result = Tensor::empty(parts.front()->dtype(), shape);
  char* destination = static_cast<char*>(result.mutable_data());
  for (const Tensor* part : parts) {
    std::memcpy(destination, part->data(), part->bytes());
    destination += part->bytes();
  }
  return result;
}

bool changes_by_step(Rate rate) { return join(rate, Rate::request) != Rate::request; }

bool has_batch(const SymShape& shape) {
  std::vector<std::string> symbols;
  for (const Dim& dim : shape) dim.collect_symbols(symbols);
  return std::find(symbols.begin(), symbols.end(), kBatch) != symbols.end();
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
      step_(std::move(stages.step), options, true, cache) {
  for (const Graph::Output& output : graph.outputs()) {
    if (!output.name.starts_with(kTapPrefix)) results_.insert(output.name);
  }
}

void RateRunner::begin(const Bindings& bindings, const TensorMap& request,
                       const std::vector<TensorMap>& schedule) {
  request_values_ = request;
  step_values_ = schedule;
  if (!request_.empty()) request_values_.merge(request_.run(bindings, request, nullptr));
  run_all_steps(schedule_, bindings);
  run_all_steps(trajectory_, bindings);
}

void RateRunner::run_all_steps(Stage& stage, const Bindings& bindings) {
  if (stage.empty()) return;
  if (batch_parallel(stage.graph(), kBatch)) return run_as_one_batch(stage, bindings);
  for (TensorMap& values : step_values_) {
    TensorMap inputs = values;
    inputs.insert(request_values_.begin(), request_values_.end());
    values.merge(stage.run(bindings, inputs, nullptr));
  }
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
  for (const auto& [name, tensor] : stage.run(all, batch_inputs(stage.graph()), nullptr)) {
    const int64_t rows = tensor.dim(0) / steps;
    for (int64_t k = 0; k < steps; ++k) {
      step_values_[static_cast<size_t>(k)][name] = tensor.rows(k * rows, (k + 1) * rows);
    }
  }
}

void RateRunner::report_taps(const TensorMap& values, const Observer& observer) const {
  for (const auto& [name, tensor] : values) {
    if (name.starts_with(kTapPrefix)) observer(name.substr(kTapPrefix.size()), tensor);
  }
}

TensorMap RateRunner::step(const Bindings& bindings, size_t k, const TensorMap& inputs,
                           const Observer& observer) {
  OCTAVO_ASSERT(k < step_values_.size());
  TensorMap all = inputs;
  all.insert(request_values_.begin(), request_values_.end());
  all.insert(step_values_[k].begin(), step_values_[k].end());
  TensorMap results = step_.run(bindings, all, observer);
  for (const TensorMap* earlier : {&request_values_, &step_values_[k]}) {
    for (const auto& [name, tensor] : *earlier) {
      if (results_.contains(name)) results.emplace(name, tensor);
    }
    if (observer) report_taps(*earlier, observer);
  }
  return results;
}

}  // namespace octavo
