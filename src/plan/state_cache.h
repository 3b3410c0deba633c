#pragma once
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/device.h"
#include "kernels/kernel.h"

namespace octavo {

struct Constant {
  std::string name;  // for messages
  Tensor tensor;     // on the host
};

struct ResidentOptions {
  std::string graph;          // for messages
  bool check_finite = false;  // Error{not_finite} names a constant that holds NaN or Inf
};

// Prepared states by kernel, attributes, operand types, and which constants (by address): one state
// for all extents that a node is planned for. Entries do not keep a state alive; plans do, and a
// plan also keeps its constants, so an address names one constant as long as its state lives. On a
// device constants lie in few allocations, each kept as long as one of its constants is.
// Thread-safe.
class StateCache {
 public:
  // The kernel's state for this call, prepared now if no plan holds it; nullptr if it needs none.
  std::shared_ptr<const KernelState> get(const Kernel& kernel, const Call& call);
  // The constants in the device's memory; those that no plan holds are copied now, together.
  std::vector<Tensor> residents(Device& device, std::span<const Constant> constants,
                                const ResidentOptions& options);

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<const KernelState>> states_;
  std::unordered_map<std::string, std::weak_ptr<void>> residents_;
};

}  // namespace octavo
