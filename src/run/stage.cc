#include "run/stage.h"

#include <algorithm>

#include "base/check.h"

namespace octavo {

Stage::Stage(Graph graph, PlanOptions options, bool every_step, std::shared_ptr<StateCache> cache)
    : graph_(std::move(graph)),
      options_(std::move(options)),
      every_step_(every_step),
      cache_(std::move(cache)) {
  if (!every_step_) return;
  for (const Graph::Output& output : graph_.outputs()) {
    if (!output.name.starts_with(kTapPrefix)) continue;
    options_.observed.insert(output.name);
    const std::string tapped = output.name.substr(kTapPrefix.size());
    const Value& value = graph_.value(output.value);
    if (value.producer >= 0) {
      made_taps_[value.name].push_back(tapped);
    } else {
      operand_taps_.emplace_back(output.value, tapped);
    }
  }
}

Executor& Stage::executor_for(const Bindings& bindings) {
  for (auto it = executors_.begin(); it != executors_.end(); ++it) {
    if (it->bindings != bindings) continue;
    executors_.splice(executors_.begin(), executors_, it);
    return executors_.front().executor;
  }
  if (executors_.size() == kMaxExecutors) {
    const auto& rows = executors_.back().executor.profile();
    past_profile_.insert(past_profile_.end(), rows.begin(), rows.end());
    executors_.pop_back();
  }
  executors_.push_front({bindings, Executor(make_plan(graph_, bindings, options_, cache_))});
  executors_.front().executor.set_profiling(profiling_);
  return executors_.front().executor;
}

void Stage::observe_operands(const TensorMap& inputs, const Observer& observer) const {
  for (const auto& [id, tapped] : operand_taps_) {
    const Value& value = graph_.value(id);
    const Tensor& tensor = value.constant ? *value.constant : inputs.at(value.name);
    observer(tapped, tensor.is_on_device() ? to_host(*device(), tensor) : tensor);
  }
}

Bindings Stage::own_bindings(const Bindings& bindings) const {
  Bindings own;
  for (const std::string& symbol : graph_.symbols()) {
    const auto found = bindings.find(symbol);
    OCTAVO_CHECK(found != bindings.end(),
                 "[{}] the extent {} is not known from the inputs that are there", graph_.name,
                 symbol);
    own.insert(*found);
  }
  return own;
}

TensorMap Stage::own_inputs(const TensorMap& inputs) const {
  TensorMap own;
  for (ValueId id : graph_.inputs()) {
    const auto found = inputs.find(graph_.value(id).name);
    if (found != inputs.end()) own.insert(*found);
  }
  return own;
}

std::vector<TensorMap> Stage::own_inputs(const std::vector<TensorMap>& runs) const {
  std::vector<TensorMap> own;
  for (const TensorMap& inputs : runs) own.push_back(own_inputs(inputs));
  return own;
}

TensorMap Stage::run(const Bindings& bindings, const TensorMap& inputs, const Observer& observer,
                     Results where) {
  const TensorMap wanted = own_inputs(inputs);
  Executor& executor = executor_for(own_bindings(bindings));
  if (!observer || !every_step_) return executor.run(wanted, nullptr, where);

  const auto show = [&](const std::string& value, const Tensor& tensor) {
    const auto taps = made_taps_.find(value);
    if (taps == made_taps_.end()) return;
    for (const std::string& tapped : taps->second) observer(tapped, tensor);
  };
  TensorMap results = executor.run(wanted, show, where);
  observe_operands(wanted, observer);
  return results;
}

std::vector<double> Stage::time(const Bindings& bindings, const std::vector<TensorMap>& runs) {
  return executor_for(own_bindings(bindings)).time(own_inputs(runs));
}

Tensor Stage::loop(const Bindings& bindings, const EulerLoop& loop,
                   const std::vector<TensorMap>& steps, const StepDone& done) {
  return executor_for(own_bindings(bindings)).loop(loop, own_inputs(steps), done);
}

std::vector<double> Stage::time_loops(const Bindings& bindings, const EulerLoop& loop,
                                      const std::vector<TensorMap>& steps, int times) {
  return executor_for(own_bindings(bindings)).time_loops(loop, own_inputs(steps), times);
}

void Stage::set_profiling(bool on) {
  profiling_ = on;
  if (on) past_profile_.clear();
  for (Entry& entry : executors_) entry.executor.set_profiling(on);
}

void Stage::collect_profile(std::vector<NodeProfile>& rows) const {
  const size_t first = rows.size();
  rows.insert(rows.end(), past_profile_.begin(), past_profile_.end());
  for (const Entry& entry : executors_) {
    const auto& own = entry.executor.profile();
    rows.insert(rows.end(), own.begin(), own.end());
  }
  for (size_t i = first; i < rows.size(); ++i) rows[i].every_step = every_step_;
}

void Stage::collect_plans(std::vector<std::shared_ptr<const Plan>>& plans) const {
  for (const Entry& entry : executors_) plans.push_back(entry.executor.shared_plan());
}

}  // namespace octavo
