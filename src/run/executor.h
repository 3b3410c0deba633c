#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace octavo {

using TensorMap = std::map<std::string, Tensor>;

// Called after the node that produced a value; the tensor is valid during the call only.
using Observer = std::function<void(const std::string& value_name, const Tensor& tensor)>;

// Of one launch: a node, or a group of nodes ("a, b"; the kernel is "name x2").
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

// A loop of steps, each fed what the one before gave, by Euler's method: see EulerStep.
struct EulerLoop {
  std::string state, slope;    // the input that changes and the output that moves it, f32 and alike
  std::vector<float> factors;  // of each step
  std::optional<float> guidance;  // axis 0 of both is a guided pair of batches
};
// Told once a step, a little after or before the device is done with it; may throw.
using StepDone = std::function<void(size_t step)>;

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
  // On a device: runs once with the inputs of each step, and returns the state after the last one,
  // on the host. Every step's inputs are as the first's or lie a fixed distance from those of the
  // step before, in one allocation. The device is not waited for in between.
  Tensor loop(const EulerLoop& loop, const std::vector<TensorMap>& steps, const StepDone& done);
  // Seconds that each of `times` such loops takes, by the device's clock.
  std::vector<double> time_loops(const EulerLoop& loop, const std::vector<TensorMap>& steps,
                                 int times);
  const Plan& plan() const;
  std::shared_ptr<const Plan> shared_plan() const;
  // Times are summed over the runs since profiling was switched on; one entry a launch.
  void set_profiling(bool on);
  const std::vector<NodeProfile>& profile() const;

 private:
  std::unique_ptr<Runner> runner_;
};

}  // namespace octavo
