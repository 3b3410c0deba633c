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

// Where a device's results go. The CPU's are on the host.
enum class Results : uint8_t { on_host, on_device };

class Runner;

// Runs a plan over its own arena. Not thread-safe; make one executor a thread, plans are shared.
class Executor {
 public:
  explicit Executor(const std::shared_ptr<const Plan>& plan);
  ~Executor();
  Executor(Executor&&) noexcept;
  // Inputs by name, on the host or on the plan's device; missing, surplus, wrong dtype or shape:
  // Error names input, found, expected. Outputs are fresh tensors by output name.
  TensorMap run(const TensorMap& inputs, const Observer& observer = nullptr,
                Results results = Results::on_host);
  // Seconds that each run takes on warm buffers, results left where they are. On a device by its
  // own clock; inputs that lie there already and do not change from run to run cost nothing.
  std::vector<double> time(const std::vector<TensorMap>& runs);
  const Plan& plan() const;
  std::shared_ptr<const Plan> shared_plan() const;
  // Times are summed over the runs since profiling was switched on; one entry a node.
  void set_profiling(bool on);
  const std::vector<NodeProfile>& profile() const;

 private:
  std::unique_ptr<Runner> runner_;
};

}  // namespace octavo
