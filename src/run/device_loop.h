#pragma once
// A sampler's loop over the buffers of a device runner. Private to this floor.
#include <memory>
#include <span>
#include <vector>

#include "kernels/euler.h"
#include "run/executor.h"

namespace octavo {

class DeviceLoop {
 public:
  // launch_model puts one run of the model on the stream; `record`: repeat it from a recording.
  DeviceLoop(std::shared_ptr<Device> device, std::function<void()> launch_model, bool record)
      : device_(std::move(device)), launch_model_(std::move(launch_model)), record_(record) {}

  // The state and the slope that the model reads and writes, on the device.
  struct Operands {
    float* state = nullptr;
    const float* slope = nullptr;
    int64_t elements = 0;
    bool guided = false;
    bool operator==(const Operands&) const = default;
  };
  // Before the first step, whose data are in place.
  void begin(const EulerLoop& loop, const Operands& operands, std::span<const StepData> data);
  void launch_step();  // the model and what lies between it and the next run

 private:
  std::shared_ptr<Device> device_;
  std::function<void()> launch_model_;
  bool record_, has_run_ = false;
  Operands operands_;
  std::unique_ptr<EulerStep> euler_;
  std::unique_ptr<Recording> recording_;
};

// Those inputs that change from step to step, whose places are `to`, joined where neighbours stay
// neighbours. `state` is left out.
std::vector<StepData> changing_data(const std::vector<std::vector<Tensor>>& steps, size_t state,
                                    std::span<void* const> to);

}  // namespace octavo
