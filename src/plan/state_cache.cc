#include "plan/state_cache.h"

#include <fmt/format.h>

#include "plan/plan.h"

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

Tensor StateCache::resident(Device& device, const Tensor& constant, std::string_view name) {
  const std::string key =
      fmt::format("{}@{}+{}", device.info().label, constant.data(), constant.bytes());
  std::lock_guard lock(mutex_);
  std::shared_ptr<const void> memory;
  if (const auto found = residents_.find(key); found != residents_.end()) {
    memory = found->second.lock();
  }
  if (!memory) {
    std::erase_if(residents_, [](const auto& entry) { return entry.second.expired(); });
    auto fresh = device.allocate(constant.bytes(), name);
    device.upload(fresh.get(), constant.data(), constant.bytes());
    memory = std::move(fresh);
    residents_[key] = memory;
  }
  return Tensor::on_device(constant.dtype(), constant.shape(), memory.get(), memory);
}

std::shared_ptr<StateCache> make_state_cache() { return std::make_shared<StateCache>(); }

}  // namespace octavo
