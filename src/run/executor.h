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
  double seconds = 0, flops = 0;
  int64_t bytes = 0, calls = 0;
};

// Runs a plan over its own arena. Not thread-safe; make one executor a thread, plans are shared.
class Executor {
 public:
  explicit Executor(std::shared_ptr<const Plan> plan);
  // Inputs by name; missing, surplus, wrong dtype or shape: Error names input, found, expected.
  // Outputs are fresh tensors by output name.
  TensorMap run(const TensorMap& inputs, const Observer& observer = nullptr);
  const Plan& plan() const { return *plan_; }
  void set_profiling(bool on);
  const std::vector<NodeProfile>& profile() const { return profile_; }

 private:
  std::shared_ptr<const Plan> plan_;
  Tensor arena_, workspace_;
  bool profiling_ = false;
  std::vector<NodeProfile> profile_;
};

}  // namespace octavo
