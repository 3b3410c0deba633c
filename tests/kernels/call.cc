#include "kernels/call.h"

#include <gtest/gtest.h>

#include <cstring>

#include "graph/op.h"

namespace octavo::test {
namespace {

constexpr uint8_t kGuard = 0xa5;
constexpr int64_t kGuardBytes = 64;

// `bytes` of storage between two guards, `offset` bytes behind a multiple of 64.
class Guarded {
 public:
  Guarded(size_t bytes, int64_t offset, uint8_t fill)
      : bytes_(static_cast<int64_t>(bytes)),
        begin_(kGuardBytes + offset),
        storage_(Tensor::empty(DType::u8, {begin_ + bytes_ + kGuardBytes})) {
    std::memset(storage_.mutable_data(), kGuard, storage_.bytes());
    std::memset(data(), fill, bytes);
  }
  uint8_t* data() { return storage_.as_mutable<uint8_t>() + begin_; }
  bool intact() const {
    const auto* bytes = storage_.as<uint8_t>();
    for (int64_t i = 0; i < begin_ + bytes_ + kGuardBytes; ++i) {
      if ((i < begin_ || i >= begin_ + bytes_) && bytes[i] != kGuard) return false;
    }
    return true;
  }

 private:
  int64_t bytes_, begin_;
  Tensor storage_;
};

int64_t offset_for(DType dtype, int64_t misalign) {
  const int64_t element = std::max(1, info(dtype).bits / 8);
  return misalign / element * element;
}

struct Memory {
  std::vector<Guarded> inputs, outputs;
  std::vector<const void*> sources;
  std::vector<void*> destinations;
};

Memory lay_out(const Call& call, const Inputs& inputs, const LaunchOptions& options) {
  Memory memory;
  for (const auto& input : inputs) {
    const size_t bytes = input ? input->bytes() : 0;
    memory.inputs.emplace_back(bytes, input ? offset_for(input->dtype(), options.misalign) : 0, 0);
    if (input) std::memcpy(memory.inputs.back().data(), input->data(), bytes);
    memory.sources.push_back(input ? memory.inputs.back().data() : nullptr);
  }
  for (const Operand& output : call.outputs) {
    memory.outputs.emplace_back(Tensor::typed(output.dtype, output.shape).bytes(),
                                offset_for(output.dtype, options.misalign), options.fill);
    memory.destinations.push_back(memory.outputs.back().data());
  }
  if (options.in_place) memory.destinations[0] = memory.inputs[0].data();
  return memory;
}

void expect_intact(const Kernel& kernel, Memory& memory, const Inputs& inputs,
                   const LaunchOptions& options) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_TRUE(memory.inputs[i].intact()) << kernel.name << " wrote around input " << i;
    if (!inputs[i] || (options.in_place && i == 0)) continue;
    EXPECT_EQ(std::memcmp(memory.inputs[i].data(), inputs[i]->data(), inputs[i]->bytes()), 0)
        << kernel.name << " changed input " << i;
  }
  for (size_t i = 0; i < memory.outputs.size(); ++i) {
    EXPECT_TRUE(memory.outputs[i].intact()) << kernel.name << " wrote around output " << i;
  }
}

}  // namespace

Call make_call(Op op, const Attrs& attrs, const Inputs& inputs, std::string name,
               const std::vector<size_t>& constants) {
  std::vector<std::optional<ValueType>> types;
  Call call{op, checked_attrs(info(op), attrs), {}, {}, std::move(name)};
  for (const auto& input : inputs) {
    types.emplace_back();
    call.inputs.emplace_back();
    if (!input) continue;
    types.back() = ValueType{input->dtype(), symbolic(input->shape())};
    call.inputs.back() = Operand{input->dtype(), input->shape(), nullptr};
  }
  for (const size_t i : constants) {
    if (call.inputs[i]) call.inputs[i]->constant = &*inputs[i];
  }
  for (const ValueType& type : infer_types(op, types, attrs)) {
    call.outputs.push_back({type.dtype, evaluate(type.shape, {}), nullptr});
  }
  return call;
}

std::vector<Tensor> plain(const Inputs& inputs) {
  std::vector<Tensor> tensors;
  for (const auto& input : inputs) tensors.push_back(input.value_or(Tensor()));
  return tensors;
}

std::vector<Tensor> launch(const Kernel& kernel, const Call& call, const Inputs& inputs,
                           const LaunchOptions& options) {
  Memory memory = lay_out(call, inputs, options);
  const Call& prepared = options.prepared_for ? *options.prepared_for : call;
  const auto state = kernel.prepare ? kernel.prepare(prepared) : nullptr;
  const size_t bytes = kernel.workspace ? kernel.workspace(call, state.get()) : 0;
  Guarded workspace(bytes, 0, options.fill);
  kernel.launch(call, state.get(), {memory.sources, memory.destinations, workspace.data()});
  EXPECT_TRUE(workspace.intact()) << kernel.name << " wrote around its workspace";
  expect_intact(kernel, memory, inputs, options);
  std::vector<Tensor> results;
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    results.push_back(Tensor::empty(call.outputs[i].dtype, call.outputs[i].shape));
    std::memcpy(results.back().mutable_data(), memory.destinations[i], results.back().bytes());
  }
  return results;
}

}  // namespace octavo::test
