#include "kernels/euler.h"

#include <cstring>
#include <vector>

#include "base/check.h"

namespace octavo {
namespace {

constexpr size_t kUnit = 16;

// Where factors and data lie behind the control block.
struct Layout {
  size_t factors = sizeof(EulerControl), data, bytes;
  Layout(size_t steps, size_t pieces)
      : data((factors + steps * sizeof(float) + kUnit - 1) / kUnit * kUnit),
        bytes(data + pieces * sizeof(StepData)) {}
};

}  // namespace

EulerStep::EulerStep(std::shared_ptr<Device> device, size_t most_steps, size_t pieces)
    : device_(std::move(device)), most_steps_(most_steps), pieces_(pieces) {
  memory_ = device_->allocate(Layout(most_steps, pieces).bytes, "the sampler's steps");
}

void EulerStep::begin(std::span<const float> factors, float guidance,
                      std::span<const StepData> data) {
  OCTAVO_ASSERT(holds(factors.size(), data.size()));
  const Layout layout(most_steps_, pieces_);
  auto* const base = static_cast<std::byte*>(memory_.get());
  EulerControl control;
  control.steps = static_cast<uint32_t>(factors.size());
  control.pieces = static_cast<uint32_t>(data.size());
  control.guidance = guidance;
  control.factors = reinterpret_cast<const float*>(base + layout.factors);
  control.data = reinterpret_cast<const StepData*>(base + layout.data);
  std::vector<std::byte> block(layout.bytes);
  std::memcpy(block.data(), &control, sizeof(control));
  std::memcpy(block.data() + layout.factors, factors.data(), factors.size_bytes());
  if (!data.empty()) std::memcpy(block.data() + layout.data, data.data(), data.size_bytes());
  device_->upload(base, block.data(), block.size());
  copied_bytes_ = 0;
  for (const StepData& piece : data) {
    const auto bits = reinterpret_cast<uintptr_t>(piece.to) |
                      reinterpret_cast<uintptr_t>(piece.first) | piece.pitch | piece.bytes;
    OCTAVO_ASSERT(bits % kUnit == 0);
    copied_bytes_ += static_cast<int64_t>(piece.bytes);
  }
}

void EulerStep::launch(float* state, const float* slope, int64_t elements, bool guided) const {
  launch_euler(*device_, {.control = static_cast<EulerControl*>(memory_.get()),
                          .state = state,
                          .slope = slope,
                          .elements = guided ? elements / 2 : elements,
                          .copied_bytes = copied_bytes_,
                          .guided = guided});
}

}  // namespace octavo
