#pragma once
// What runs a plan: on the host over its own arena, or on a device. Private to this floor.
#include <memory>
#include <span>

#include "run/executor.h"

namespace octavo {

class Runner {
 public:
  explicit Runner(std::shared_ptr<const Plan> plan);
  virtual ~Runner() = default;
  // `inputs` are checked and parallel to the plan's.
  virtual TensorMap run(std::vector<Tensor> inputs, const Observer& observer, Results results) = 0;

  // Seconds that each run takes on warm buffers, results left where they are. On a device by its
  // own clock, with the copies of inputs that changed.
  virtual std::vector<double> time(const std::vector<std::vector<Tensor>>& runs) = 0;

  // Runners on a device only; as Executor's.
  virtual Tensor loop(const EulerLoop& loop, const std::vector<std::vector<Tensor>>& steps,
                      const StepDone& done);
  virtual std::vector<double> time_loops(const EulerLoop& loop,
                                         const std::vector<std::vector<Tensor>>& steps, int times);

  const std::shared_ptr<const Plan>& plan() const { return plan_; }
  const std::vector<NodeProfile>& profile() const { return profile_; }
  void set_profiling(bool on);

 protected:
  // Addresses of one node's operands.
  struct Pointers {
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
  };
  // By node, for slots as `address` finds them.
  template <class Address>
  void set_pointers(const Address& address) {
    for (size_t n = 0; n < plan_->nodes.size(); ++n) {
      const PlannedNode& node = plan_->nodes[n];
      for (size_t k = 0; k < node.inputs.size(); ++k) {
        pointers_[n].inputs[k] = address(node.inputs[k]);
      }
      for (size_t k = 0; k < node.outputs.size(); ++k) {
        pointers_[n].outputs[k] = const_cast<void*>(address(node.outputs[k]));
      }
    }
  }
  // Of the plan's launches.
  void launch(size_t index, void* workspace) const;
  void count(size_t index, double seconds);

  std::shared_ptr<const Plan> plan_;
  std::vector<Pointers> pointers_;
  bool profiling_ = false;

 private:
  NodeProfile profile_row(const Launch& launch) const;

  std::vector<NodeProfile> profile_;  // by launch
};

std::unique_ptr<Runner> make_host_runner(std::shared_ptr<const Plan> plan);
std::unique_ptr<Runner> make_device_runner(std::shared_ptr<const Plan> plan);

}  // namespace octavo
