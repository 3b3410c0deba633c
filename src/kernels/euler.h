#pragma once
// What lies between two runs of a model in a sampler's loop, on a device: Euler's step, and what
// the next run reads instead of this one's. The device itself counts the steps, so that one
// recording of model and step, replayed, is the whole loop.
#include <span>

#include "kernels/device.h"

namespace octavo {

// Bytes that every step has its own of: those of step k lie at `first + k * pitch` and belong at
// `to` while it runs. Addresses, pitch and bytes are multiples of 16.
struct StepData {
  void* to = nullptr;
  const void* first = nullptr;
  size_t pitch = 0, bytes = 0;
};

// In the device's memory, for the kernel; factors and data are behind it.
struct EulerControl {
  uint32_t step = 0, steps = 0, blocks_done = 0, pieces = 0;
  float guidance = 1;
  const float* factors = nullptr;
  const StepData* data = nullptr;
};

// One launch; see EulerStep.
struct EulerLaunch {
  EulerControl* control = nullptr;
  float* state = nullptr;
  const float* slope = nullptr;
  int64_t elements = 0;      // of the state, or of half of a guided pair
  int64_t copied_bytes = 0;  // of one step's data
  bool guided = false;
};
void launch_euler(Device& device, const EulerLaunch& launch);  // on the stream

// x_{k+1} = x_k + factors[k] v in f32, each operation rounded by itself. v is the slope; of a
// guided pair, whose second half is the unconditional one, v = v_u + guidance (v_c - v_u), and both
// halves of the state become x_{k+1}.
class EulerStep {
 public:
  EulerStep(std::shared_ptr<Device> device, size_t most_steps, size_t pieces);

  bool holds(size_t steps, size_t pieces) const {
    return steps <= most_steps_ && pieces == pieces_;
  }
  // Before step 0: the factors of all steps, and what each has its own of, as many pieces as
  // allowed for. Step 0's are in their place.
  void begin(std::span<const float> factors, float guidance, std::span<const StepData> data);
  // After each run of the model; state and slope have `elements`.
  void launch(float* state, const float* slope, int64_t elements, bool guided) const;

 private:
  std::shared_ptr<Device> device_;
  size_t most_steps_, pieces_;
  int64_t copied_bytes_ = 0;
  std::shared_ptr<void> memory_;  // EulerControl, factors, data
};

}  // namespace octavo
