#include "plan/state_cache.h"

#include <fmt/format.h>

#include <chrono>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "kernels/upload.h"
#include "plan/plan.h"
#include "tensor/finite.h"

namespace octavo {
namespace {

struct AttrText {
  std::string operator()(double v) const { return fmt::format("{:a}", v); }  // every bit
  std::string operator()(const Dim& v) const { return v.text(); }
  std::string operator()(const SymShape& v) const { return to_string(v); }
  std::string operator()(const std::vector<int64_t>& v) const { return to_string(v); }
  template <class T>
  std::string operator()(const T& v) const {
    return fmt::format("{}", v);
  }
};

// Extents of operands that are not constant do not matter (kernel.h).
std::string text(const Operand& operand) {
  if (operand.constant == nullptr) return std::string(name(operand.dtype));
  return fmt::format("{}{}@{}", name(operand.dtype), to_string(operand.shape),
                     operand.constant->data());
}

std::string key_of(const Kernel& kernel, const Call& call) {
  std::string key = kernel.name;
  for (const auto& [attribute, value] : call.attrs.map()) {
    key += fmt::format("|{}={}", attribute, std::visit(AttrText{}, value));
  }
  for (const auto& input : call.inputs) key += "|" + (input ? text(*input) : "-");
  for (const Operand& output : call.outputs) key += ">" + text(output);
  return key;
}

using Resident = std::shared_ptr<void>;

constexpr size_t kSlab = size_t{512} << 20;  // bytes; a larger constant has one of its own
constexpr size_t kSlot = 256;

size_t slot_bytes(const Tensor& tensor) { return (tensor.bytes() + kSlot - 1) / kSlot * kSlot; }

std::string resident_key(const Device& device, const Tensor& constant) {
  return fmt::format("{}@{}+{}", device.info().label, constant.data(), constant.bytes());
}

// Gives those of `which` memory of their own, one behind the other in as few slabs as that takes.
// Each is owned by itself: it tells whether that constant is still in use.
void place(Device& device, std::span<const Constant> constants, std::span<const size_t> which,
           const std::string& graph, std::vector<Resident>& residents) {
  for (size_t begin = 0, end = 0; begin < which.size(); begin = end) {
    size_t bytes = 0;
    for (; end < which.size(); ++end) {
      const size_t more = slot_bytes(constants[which[end]].tensor);
      if (end > begin && bytes + more > kSlab) break;
      bytes += more;
    }
    const auto slab = device.allocate(bytes, "constants of " + graph);
    auto* at = static_cast<std::byte*>(slab.get());
    for (size_t k = begin; k < end; ++k) {
      const auto owner = std::make_shared<std::shared_ptr<void>>(slab);
      residents[which[k]] = Resident(owner, at);
      at += slot_bytes(constants[which[k]].tensor);
    }
  }
}

// What is not finite is found while it is on its way.
void copy(Device& device, std::span<const Constant> constants, std::span<const size_t> which,
          const ResidentOptions& options, std::span<const Resident> residents) {
  std::vector<Upload> uploads;
  size_t bytes = 0;
  for (const size_t i : which) {
    const Tensor& tensor = constants[i].tensor;
    uploads.push_back({residents[i].get(), tensor.data(), tensor.bytes()});
    bytes += tensor.bytes();
  }
  const auto check = [&](size_t k, size_t offset, std::span<const std::byte> piece) {
    const Constant& constant = constants[which[k]];
    const DType dtype = constant.tensor.dtype();
    const auto bits = static_cast<size_t>(info(dtype).bits);
    if (!may_be_not_finite(dtype)) return;
    const int64_t bad =
        first_not_finite(dtype, piece.data(), static_cast<int64_t>(piece.size() * 8 / bits));
    OCTAVO_CHECK_CODE(not_finite, bad < 0,
                      "[{}] tensor \"{}\" has NaN or infinity at index {} of {}; expected finite "
                      "numbers",
                      options.graph, printable(constant.name),
                      static_cast<int64_t>(offset * 8 / bits) + bad, constant.tensor.elements());
  };
  const auto start = std::chrono::steady_clock::now();
  upload_all(device, uploads, options.check_finite ? UploadSeen(check) : nullptr);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  log_info("{} constants of {}, {:.3f} GB to {} in {:.1f} ms", uploads.size(), options.graph,
           1e-9 * static_cast<double>(bytes), device.info().label, 1e3 * seconds.count());
}

}  // namespace

std::shared_ptr<const KernelState> StateCache::get(const Kernel& kernel, const Call& call) {
  if (kernel.prepare == nullptr) return nullptr;
  const std::string key = key_of(kernel, call);
  std::lock_guard lock(mutex_);
  if (const auto found = states_.find(key); found != states_.end()) {
    if (auto state = found->second.lock()) return state;
  }
  std::erase_if(states_, [](const auto& entry) { return entry.second.expired(); });
  auto state = kernel.prepare(call);
  states_[key] = state;
  return state;
}

std::vector<Tensor> StateCache::residents(Device& device, std::span<const Constant> constants,
                                          const ResidentOptions& options) {
  std::lock_guard lock(mutex_);
  std::vector<Resident> found(constants.size());
  std::vector<size_t> missing;  // one of those that are the same
  std::unordered_map<std::string, size_t> first;
  for (size_t i = 0; i < constants.size(); ++i) {
    const std::string key = resident_key(device, constants[i].tensor);
    if (const auto known = residents_.find(key); known != residents_.end()) {
      found[i] = known->second.lock();
    }
    if (!found[i] && first.emplace(key, i).second) missing.push_back(i);
  }
  if (!missing.empty()) {
    std::erase_if(residents_, [](const auto& entry) { return entry.second.expired(); });
    place(device, constants, missing, options.graph, found);
    copy(device, constants, missing, options, found);
    for (const auto& [key, i] : first) residents_[key] = found[i];
  }
  std::vector<Tensor> result;
  for (size_t i = 0; i < constants.size(); ++i) {
    const Tensor& source = constants[i].tensor;
    if (!found[i]) found[i] = found[first.at(resident_key(device, source))];
    result.push_back(Tensor::on_device(source.dtype(), source.shape(), found[i].get(), found[i]));
  }
  return result;
}

std::shared_ptr<StateCache> make_state_cache() { return std::make_shared<StateCache>(); }

}  // namespace octavo
