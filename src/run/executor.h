#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace octavo {

using TensorMap = std::map<std::string, Tensor>;

// Called after the node that produced a value; the tensor is valid during the call only.
using Observer = std::function<void(const std::string& value_name, const Tensor& tensor)>;

struct NodeProfile {
  std::string name, op, kernel;
  bool every_step = true;  // false: hoisted, runs before the first step
  double seconds = 0;      // of all calls
  double flops = 0;        // of one call
  int64_t bytes = 0;       // of one call
  int64_t calls = 0;
};

// Runs a plan over its own arena. Not thread-safe; make one executor a thread, plans are shared.
class Executor {
 public:
  explicit Executor(std::shared_ptr<const Plan> plan);
  // Inputs by name; missing, surplus, wrong dtype or shape: Error names input, found, expected.
  // Outputs are fresh tensors by output name.
  TensorMap run(const TensorMap& inputs, const Observer& observer = nullptr);
  const Plan& plan() const { return *plan_; }
  std::shared_ptr<const Plan> shared_plan() const { return plan_; }
  // Times are summed over the runs since profiling was switched on; one entry a node.
  void set_profiling(bool on);
  const std::vector<NodeProfile>& profile() const { return profile_; }

 private:
  // Addresses of one node's operands.
  struct Pointers {
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
  };

  void take_inputs(const TensorMap& inputs);
  void patch_pointers();
  const void* address(const Slot& slot) const;
  void launch(size_t node);
  void observe(size_t node, const Observer& observer) const;

  std::shared_ptr<const Plan> plan_;
  Tensor arena_, workspace_;
  std::vector<Tensor> inputs_, outputs_;  // of the run in progress
  std::vector<Pointers> pointers_;        // by node
  bool profiling_ = false;
  std::vector<NodeProfile> profile_;
};

}  // namespace octavo
