#pragma once
// One graph of a component with executors for the shapes that it met. Private to this floor.
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "run/executor.h"

namespace octavo {

// Outputs of this name are tapped values: "tap:" + the value's name in the source graph.
inline constexpr std::string_view kTapPrefix = "tap:";

class Stage {
 public:
  // every_step: tapped values are shown to observers while the graph runs. A stage that is not run
  // every step returns them instead.
  Stage(Graph graph, PlanOptions options, bool every_step, std::shared_ptr<StateCache> cache);

  const Graph& graph() const { return graph_; }
  Device* device() const { return options_.device.get(); }
  bool empty() const { return graph_.outputs().empty(); }
  // Takes the inputs that the graph has out of `inputs`, which may hold others. Observers are told
  // of tapped values, under their names in the source graph. Error names a symbol that `bindings`
  // lacks.
  TensorMap run(const Bindings& bindings, const TensorMap& inputs, const Observer& observer,
                Results where = Results::on_host);

  // As Executor's; extents are those of the first run.
  std::vector<double> time(const Bindings& bindings, const std::vector<TensorMap>& runs);

  // As Executor's; where the graph's inputs are among those given.
  Tensor loop(const Bindings& bindings, const EulerLoop& loop, const std::vector<TensorMap>& steps,
              const StepDone& done);
  std::vector<double> time_loops(const Bindings& bindings, const EulerLoop& loop,
                                 const std::vector<TensorMap>& steps, int times);

  void set_profiling(bool on);
  void collect_profile(std::vector<NodeProfile>& rows) const;
  void collect_plans(std::vector<std::shared_ptr<const Plan>>& plans) const;

 private:
  struct Entry {
    Bindings bindings;
    Executor executor;
  };
  Executor& executor_for(const Bindings& bindings);
  Bindings own_bindings(const Bindings& bindings) const;
  TensorMap own_inputs(const TensorMap& inputs) const;
  std::vector<TensorMap> own_inputs(const std::vector<TensorMap>& runs) const;
  void observe_operands(const TensorMap& inputs, const Observer& observer) const;

  // Shapes alternate between few: whole batches and the last, partial one.
  static constexpr size_t kMaxExecutors = 6;

  Graph graph_;
  PlanOptions options_;
  bool every_step_;
  std::shared_ptr<StateCache> cache_;
  std::list<Entry> executors_;             // most recently used first
  std::vector<NodeProfile> past_profile_;  // of executors that had to go
  bool profiling_ = false;
  std::map<std::string, std::vector<std::string>> made_taps_;  // value in graph_ -> tapped names
  std::vector<std::pair<ValueId, std::string>> operand_taps_;  // inputs and constants
};

}  // namespace octavo
