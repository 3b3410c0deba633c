#include "run/device_loop.h"

#include "base/check.h"

namespace octavo {
namespace {

constexpr size_t kUnit = 16;
constexpr size_t kMostSteps = 64;  // room for at least so many, so that recordings last

const std::byte* bytes_of(const Tensor& tensor) {
  return static_cast<const std::byte*>(tensor.address());
}

// From one step to the next; 0: the input does not change.
size_t pitch_of(const std::vector<std::vector<Tensor>>& steps, size_t input) {
  if (steps.size() < 2) return 0;
  const std::byte* const first = bytes_of(steps[0][input]);
  const ptrdiff_t pitch = bytes_of(steps[1][input]) - first;
  OCTAVO_ASSERT(pitch >= 0);
  for (size_t k = 0; k < steps.size(); ++k) {
    const Tensor& tensor = steps[k][input];
    OCTAVO_ASSERT(tensor.is_on_device() &&
                  bytes_of(tensor) - first == static_cast<ptrdiff_t>(k) * pitch);
  }
  return static_cast<size_t>(pitch);
}

}  // namespace

std::vector<StepData> changing_data(const std::vector<std::vector<Tensor>>& steps, size_t state,
                                    std::span<void* const> to) {
  std::vector<StepData> data;
  for (size_t i = 0; i < to.size(); ++i) {
    const size_t pitch = i == state ? 0 : pitch_of(steps, i);
    if (pitch == 0) continue;
    const std::byte* const from = bytes_of(steps[0][i]);
    auto* const place = static_cast<std::byte*>(to[i]);
    const size_t bytes = (steps[0][i].bytes() + kUnit - 1) / kUnit * kUnit;
    if (!data.empty()) {
      StepData& last = data.back();
      const ptrdiff_t behind = place - static_cast<std::byte*>(last.to);
      const bool joins = last.pitch == pitch &&
                         from - static_cast<const std::byte*>(last.first) == behind &&
                         behind == static_cast<ptrdiff_t>((last.bytes + 255) / 256 * 256);
      if (joins) {
        last.bytes = static_cast<size_t>(behind) + bytes;
        continue;
      }
    }
    data.push_back({place, from, pitch, bytes});
  }
  return data;
}

void DeviceLoop::begin(const EulerLoop& loop, const Operands& operands,
                       std::span<const StepData> data) {
  const size_t steps = loop.factors.size();
  if (!euler_ || !euler_->holds(steps, data.size()) || operands != operands_) {
    recording_.reset();
    euler_ = std::make_unique<EulerStep>(device_, std::max(steps, kMostSteps), data.size());
    operands_ = operands;
  }
  euler_->begin(loop.factors, loop.guidance.value_or(1), data);
}

// The first run launches one by one, as kernels may have to be loaded; the second is recorded.
void DeviceLoop::launch_step() {
  const auto launch = [this] {
    launch_model_();
    euler_->launch(operands_.state, operands_.slope, operands_.elements, operands_.guided);
  };
  if (!record_ || !has_run_) {
    launch();
  } else {
    if (!recording_) recording_ = device_->record(launch);
    recording_->replay();
  }
  has_run_ = true;
}

}  // namespace octavo
