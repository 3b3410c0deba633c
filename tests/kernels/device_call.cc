#include "kernels/device_call.h"

#include <gtest/gtest.h>

#include <cstring>

namespace octavo::test {
namespace {

constexpr uint8_t kGuard = 0xa5;
constexpr size_t kGuardBytes = 256;

// `bytes` of device memory between two guards, `offset` bytes behind a multiple of 256.
class Guarded {
 public:
  Guarded(Device& device, size_t bytes, size_t offset, uint8_t fill, const void* source = nullptr)
      : device_(device),
        bytes_(bytes),
        begin_(kGuardBytes + offset),
        memory_(device.allocate(begin_ + bytes_ + kGuardBytes, "a test's operand")) {
    device.fill(memory_.get(), kGuard, begin_ + bytes_ + kGuardBytes);
    device.fill(data(), fill, bytes);
    if (source != nullptr) device.upload(data(), source, bytes);
  }
  std::byte* data() const { return static_cast<std::byte*>(memory_.get()) + begin_; }
  bool intact() const {
    std::vector<uint8_t> all(begin_ + bytes_ + kGuardBytes);
    device_.download(all.data(), memory_.get(), all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      if ((i < begin_ || i >= begin_ + bytes_) && all[i] != kGuard) return false;
    }
    return true;
  }
  bool holds(const Tensor& tensor) const {
    Tensor found = Tensor::empty(tensor.dtype(), tensor.shape());
    device_.download(found.mutable_data(), data(), bytes_);
    return std::memcmp(found.data(), tensor.data(), bytes_) == 0;
  }

 private:
  Device& device_;
  size_t bytes_, begin_;
  std::shared_ptr<void> memory_;
};

size_t offset_for(DType dtype, int64_t misalign) {
  const int64_t element = std::max(1, info(dtype).bits / 8);
  return static_cast<size_t>(misalign / element * element);
}

}  // namespace

std::vector<Tensor> launch_on_device(const Kernel& kernel, const Call& call, const Inputs& inputs,
                                     const LaunchOptions& options) {
  Device& device = *call.device;
  device.activate();
  std::vector<Guarded> sources, destinations;
  std::vector<const void*> source_addresses;
  std::vector<void*> destination_addresses;
  for (const auto& input : inputs) {
    const Tensor tensor = input.value_or(Tensor::zeros(DType::u8, {0}));
    sources.emplace_back(device, tensor.bytes(), offset_for(tensor.dtype(), options.misalign), 0,
                         tensor.data());
    source_addresses.push_back(input ? sources.back().data() : nullptr);
  }
  for (const Operand& output : call.outputs) {
    destinations.emplace_back(device, Tensor::typed(output.dtype, output.shape).bytes(),
                              offset_for(output.dtype, options.misalign), options.fill);
    destination_addresses.push_back(destinations.back().data());
  }
  if (options.in_place) destination_addresses[0] = sources[0].data();
  const Call& prepared = options.prepared_for ? *options.prepared_for : call;
  const auto state = kernel.prepare ? kernel.prepare(prepared) : nullptr;
  const Guarded workspace(device, kernel.workspace ? kernel.workspace(call, state.get()) : 0, 0,
                          options.fill);
  kernel.launch(call, state.get(), {source_addresses, destination_addresses, workspace.data()});
  device.synchronize();
  EXPECT_TRUE(workspace.intact()) << kernel.name << " wrote around its workspace";
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_TRUE(sources[i].intact()) << kernel.name << " wrote around input " << i;
    if (!inputs[i] || (options.in_place && i == 0)) continue;
    EXPECT_TRUE(sources[i].holds(*inputs[i])) << kernel.name << " changed input " << i;
  }
  std::vector<Tensor> results;
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    EXPECT_TRUE(destinations[i].intact()) << kernel.name << " wrote around output " << i;
    results.push_back(Tensor::empty(call.outputs[i].dtype, call.outputs[i].shape));
    device.download(results.back().mutable_data(), destination_addresses[i],
                    results.back().bytes());
  }
  return results;
}

}  // namespace octavo::test
