#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "kernels/device.h"
#include "kernels/kernel.h"

namespace octavo {

// Prepared states by kernel, attributes, operand types, and which constants (by address): one state
// for all extents that a node is planned for. Entries do not keep a state alive; plans do, and a
// plan also keeps its constants, so an address names one constant as long as its state lives.
// Thread-safe.
class StateCache {
 public:
  // The kernel's state for this call, prepared now if no plan holds it; nullptr if it needs none.
  std::shared_ptr<const KernelState> get(const Kernel& kernel, const Call& call);
  // The constant in the device's memory, copied now if no plan holds it.
  Tensor resident(Device& device, const Tensor& constant, std::string_view name);

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<const KernelState>> states_;
  std::unordered_map<std::string, std::weak_ptr<const void>> residents_;
};

}  // namespace octavo
