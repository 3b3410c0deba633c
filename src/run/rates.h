#pragma once
// A graph run by rate: what depends on prompt and timestep before the first step, for all steps,
// and the rest every step. Private to this floor.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "passes/hoist.h"
#include "run/stage.h"

namespace octavo {

class RateRunner {
 public:
  RateRunner(const Graph& graph, const PlanOptions& options,
             const std::shared_ptr<StateCache>& cache);

  // As Component's. Inputs are complete (defaults filled) and are of the rates that they are given
  // under.
  void begin(const Bindings& bindings, const TensorMap& request,
             const std::vector<TensorMap>& schedule);
  TensorMap step(const Bindings& bindings, size_t k, const TensorMap& inputs,
                 const Observer& observer);

  std::vector<double> time_steps(const Bindings& bindings, const std::vector<size_t>& steps,
                                 const TensorMap& inputs);

  // Steps 0, 1, ... of the schedule; as Executor's, on a device.
  Tensor loop(const Bindings& bindings, const EulerLoop& loop, const TensorMap& inputs,
              const StepDone& done);
  std::vector<double> time_loops(const Bindings& bindings, const EulerLoop& loop,
                                 const TensorMap& inputs, int times);

  std::array<Stage*, 4> stages() { return {&request_, &schedule_, &trajectory_, &step_}; }

 private:
  RateRunner(const Graph& graph, StagedGraph stages, const PlanOptions& options,
             const std::shared_ptr<StateCache>& cache);
  void run_all_steps(Stage& stage, const Bindings& bindings);
  void run_as_one_batch(Stage& stage, const Bindings& bindings);
  void pack_steps(Device& device);
  std::vector<TensorMap> inputs_of_loop(const EulerLoop& loop, const TensorMap& inputs) const;
  TensorMap inputs_of_step(size_t k, const TensorMap& inputs) const;
  TensorMap batch_inputs(const Graph& graph) const;
  Tensor stack(const std::vector<const Tensor*>& parts) const;
  void report_taps(const TensorMap& values, const Observer& observer) const;

  std::set<std::string> results_;  // public outputs of the graph
  Stage request_, schedule_, trajectory_, step_;
  TensorMap request_values_;            // request-rate inputs and what was made of them
  std::vector<TensorMap> step_values_;  // the same for each step: schedule and trajectory
  std::shared_ptr<Device> device_;
};

}  // namespace octavo
