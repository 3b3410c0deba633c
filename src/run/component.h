#pragma once
// One model part ready to run: its graph after passes, split by rate, planned for the shapes it
// meets.
#include <memory>
#include <string>
#include <vector>

#include "run/executor.h"

namespace octavo {

struct ComponentOptions {
  DType compute = DType::f32;     // f32 | bf16
  bool hoist = true;              // request- and schedule-rate parts run once, not every step
  std::vector<std::string> taps;  // glob patterns of value names to keep as observable values
  std::vector<std::string> disabled_passes;
  PlanOptions plan;
};

// Not thread-safe. Observers see tapped values, under their names in the source graph; hoisted ones
// once a step as well, so that they see the same with and without hoisting.
class Component {
 public:
  Component(Graph graph, ComponentOptions options);
  ~Component();
  Component(Component&&) noexcept;

  // The whole graph at once. Inputs with defaults (see models/) may be left out. Errors name the
  // input, what was found and what is expected.
  TensorMap run(const TensorMap& inputs, const Observer& observer = nullptr);

  // By rate: begin() runs request-, schedule- and trajectory-rate parts for all steps, step() the
  // rest. schedule[k] holds the schedule-rate inputs of step k. step() takes the step-rate inputs;
  // steps may come in any order and repeatedly. Where the graph allows it, all steps of a schedule
  // run as one batch: batch extent x steps.
  void begin(const TensorMap& request, const std::vector<TensorMap>& schedule);
  TensorMap step(size_t k, const TensorMap& inputs, const Observer& observer = nullptr);

  // Seconds of each of these steps in a row, on the same step-rate inputs, on warm buffers; nothing
  // is copied from or to the host. Needs begin() with hoisting.
  std::vector<double> time_steps(const std::vector<size_t>& steps, const TensorMap& inputs);

  // Whether loop() is there: on a device, with hoisting.
  bool can_loop() const;
  // After begin(): one step after the other, each fed what loop.state became, as many as there are
  // factors. Returns the state after the last one; nothing comes to the host before. The bits are
  // those of step() and the same arithmetic on the host.
  Tensor loop(const EulerLoop& loop, const TensorMap& inputs, const StepDone& done = nullptr);
  // Seconds that each of `times` such loops takes by the device's clock, a warm-up before.
  std::vector<double> time_loops(const EulerLoop& loop, const TensorMap& inputs, int times);

  const Graph& source_graph() const;        // as built, before passes
  const Graph& graph() const;               // after passes, before hoisting
  std::vector<std::string> tapped() const;  // value names that the tap patterns matched
  size_t resident_bytes() const;
  // A row a node and plan, times summed over all runs since profiling was switched on.
  void set_profiling(bool on);
  std::vector<NodeProfile> profile() const;
  std::vector<std::shared_ptr<const Plan>> plans() const;  // made so far

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octavo
