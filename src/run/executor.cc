#include "run/executor.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "base/check.h"
#include "run/runner.h"

namespace octavo {
namespace {

std::string names_of(const std::vector<PlannedTensor>& tensors) {
  std::vector<std::string> names;
  for (const PlannedTensor& tensor : tensors) names.push_back(tensor.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// The plan's inputs in its order.
std::vector<Tensor> checked_inputs(const Plan& plan, const TensorMap& inputs) {
  const auto& wanted = plan.inputs;
  for (const auto& given : inputs) {
    const bool known = std::any_of(wanted.begin(), wanted.end(),
                                   [&](const PlannedTensor& t) { return t.name == given.first; });
    OCTAVO_CHECK(known, "[{}] input \"{}\" is not one of: {}", plan.graph.name, given.first,
                 names_of(wanted));
  }
  std::vector<Tensor> result;
  for (const PlannedTensor& want : wanted) {
    const auto found = inputs.find(want.name);
    OCTAVO_CHECK(found != inputs.end() && found->second.has_data(),
                 "[{}] input \"{}\" is missing, expected {}{}", plan.graph.name, want.name,
                 name(want.dtype), to_string(want.shape));
    const Tensor& tensor = found->second;
    OCTAVO_CHECK(tensor.dtype() == want.dtype && tensor.shape() == want.shape,
                 "[{}] input \"{}\" is {}{}, expected {}{}", plan.graph.name, want.name,
                 name(tensor.dtype()), to_string(tensor.shape()), name(want.dtype),
                 to_string(want.shape));
    result.push_back(tensor);
  }
  return result;
}

std::vector<std::vector<Tensor>> checked_inputs(const Plan& plan,
                                                const std::vector<TensorMap>& runs) {
  std::vector<std::vector<Tensor>> inputs;
  for (const TensorMap& run : runs) inputs.push_back(checked_inputs(plan, run));
  return inputs;
}

}  // namespace

Executor::Executor(const std::shared_ptr<const Plan>& plan)
    : runner_(plan->device ? make_device_runner(plan) : make_host_runner(plan)) {}
Executor::~Executor() = default;
Executor::Executor(Executor&&) noexcept = default;

TensorMap Executor::run(const TensorMap& inputs, const Observer& observer, Results results) {
  return runner_->run(checked_inputs(plan(), inputs), observer, results);
}

std::vector<double> Executor::time(const std::vector<TensorMap>& runs) {
  return runner_->time(checked_inputs(plan(), runs));
}

Tensor Executor::loop(const EulerLoop& loop, const std::vector<TensorMap>& steps,
                      const StepDone& done) {
  return runner_->loop(loop, checked_inputs(plan(), steps), done);
}

std::vector<double> Executor::time_loops(const EulerLoop& loop, const std::vector<TensorMap>& steps,
                                         int times) {
  return runner_->time_loops(loop, checked_inputs(plan(), steps), times);
}

const Plan& Executor::plan() const { return *runner_->plan(); }
std::shared_ptr<const Plan> Executor::shared_plan() const { return runner_->plan(); }
void Executor::set_profiling(bool on) { runner_->set_profiling(on); }
const std::vector<NodeProfile>& Executor::profile() const { return runner_->profile(); }

}  // namespace octavo
