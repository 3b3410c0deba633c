// What kernels on a device offer to plans beside the result: rows that lie apart, and several calls
// in one launch, each with the bits of a launch of its own. Over all cases that a kernel supports.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>

#include "cuda_device.h"
#include "kernels/device_call.h"
#include "kernels/expectation.h"
#include "support.h"

namespace octavo::test {
namespace {

constexpr uint8_t kUntouched = 0xa5;
constexpr size_t kPitchUnit = 64;  // bytes

using Memory = std::shared_ptr<void>;

// Operands of one call on the device.
class Placed {
 public:
  Placed(const Kernel& kernel, Call call, const Case& c)
      : kernel_(&kernel), call_(std::move(call)) {
    Device& device = *call_.device;
    device.activate();
    for (const auto& input : c.inputs) {
      inputs_.push_back(input ? add(input->bytes()) : nullptr);
      if (input) device.upload(memory_.back().get(), input->data(), input->bytes());
    }
    for (size_t k = 0; k < call_.outputs.size(); ++k) outputs_.push_back(add(output_bytes(k)));
    state_ = kernel.prepare ? kernel.prepare(call_) : nullptr;
    workspace_ = add(kernel.workspace ? kernel.workspace(call_, state_.get()) : 0);
    clear();
  }

  void clear() {
    for (size_t k = 0; k < outputs_.size(); ++k) {
      call_.device->fill(outputs_[k], kUntouched, output_bytes(k));
    }
  }
  void launch() { kernel_->launch(call_, state_.get(), buffers()); }
  GroupMember member() { return {&call_, state_.get(), buffers()}; }
  const Call& call() const { return call_; }

  // What is in memory, rows apart included.
  std::vector<std::vector<std::byte>> found() const {
    std::vector<std::vector<std::byte>> all;
    for (size_t k = 0; k < outputs_.size(); ++k) {
      all.emplace_back(output_bytes(k));
      call_.device->download(all.back().data(), outputs_[k], all.back().size());
    }
    return all;
  }

 private:
  void* add(size_t bytes) {
    memory_.push_back(call_.device->allocate(std::max<size_t>(bytes, 1), "a test's operand"));
    return memory_.back().get();
  }
  Buffers buffers() { return {inputs_, outputs_, workspace_}; }
  size_t output_bytes(size_t k) const {
    const Operand& o = call_.outputs[k];
    if (o.row_pitch == 0) return Tensor::typed(o.dtype, o.shape).bytes();
    return static_cast<size_t>(element_count(o.shape) / row_elements(call_) * o.row_pitch) *
           static_cast<size_t>(info(o.dtype).bits) / 8;
  }

 public:
  // Of what row_pitch calls a row (kernel.h).
  static int64_t row_elements(const Call& call) {
    const Shape& shape = call.outputs[0].shape;
    const bool heads = call.op == Op::attention || call.op == Op::quantized_attention;
    return heads ? shape[shape.size() - 2] * shape.back() : shape.back();
  }

 private:
  const Kernel* kernel_;
  Call call_;
  std::vector<Memory> memory_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
  void* workspace_ = nullptr;
  std::shared_ptr<const KernelState> state_;
};

// visit(kernel, call, case) for what the kernels of a device support.
template <class Visit>
void each_supported(const NamedCase& named, const Visit& visit) {
  const Case c = named.make();
  for (const Kernel& kernel : cuda_kernels(c.op)) {
    Call call = call_of(c, false);
    call.device = cuda().device.get();
    if (device_knows_specs(call).supported && kernel.supports(call).supported) {
      visit(kernel, call, c);
    }
  }
}

class CudaPlacement : public ::testing::TestWithParam<size_t> {};

TEST_P(CudaPlacement, RowsMayLieApart) {
  OCTAVO_NEEDS_CUDA();
  each_supported(
      all_cases()[GetParam()], [](const Kernel& kernel, const Call& call, const Case& c) {
        const Operand& out = call.outputs[0];
        if (!kernel.pitched_output || out.shape.empty() || element_count(out.shape) == 0) return;
        SCOPED_TRACE(kernel.name);
        const size_t element = static_cast<size_t>(info(out.dtype).bits) / 8;
        const size_t row = static_cast<size_t>(Placed::row_elements(call)) * element;
        if (element == 0) return;
        const size_t pitch = (row + kPitchUnit - 1) / kPitchUnit * kPitchUnit + kPitchUnit;
        Call apart = call;
        apart.outputs[0].row_pitch = static_cast<int64_t>(pitch / element);
        if (!kernel.supports(apart).supported) return;
        Placed dense(kernel, call, c), placed(kernel, apart, c);
        dense.launch();
        placed.launch();
        cuda().device->synchronize();
        const auto expected = dense.found(), found = placed.found();
        for (size_t k = 1; k < found.size(); ++k)
          EXPECT_EQ(found[k], expected[k]) << "output " << k;
        for (size_t r = 0; r < expected[0].size() / row; ++r) {
          const std::byte* at = found[0].data() + r * pitch;
          ASSERT_EQ(std::memcmp(at, expected[0].data() + r * row, row), 0) << "row " << r;
          ASSERT_TRUE(std::all_of(at + row, at + pitch,
                                  [](std::byte b) { return b == std::byte{kUntouched}; }))
              << "behind row " << r;
        }
      });
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaPlacement, ::testing::Range(size_t{0}, all_cases().size()),
                         [](const auto& i) { return all_cases()[i.param].name; });

// Launches calls by themselves, then together.
void expect_same_bits(const Kernel& kernel, std::deque<Placed>& placed) {
  std::vector<std::vector<std::vector<std::byte>>> alone;
  for (Placed& p : placed) p.launch();
  cuda().device->synchronize();
  for (Placed& p : placed) alone.push_back(p.found());
  std::vector<GroupMember> members;
  for (Placed& p : placed) {
    p.clear();
    members.push_back(p.member());
  }
  kernel.launch_group(members);
  cuda().device->synchronize();
  for (size_t i = 0; i < placed.size(); ++i) {
    EXPECT_EQ(placed[i].found(), alone[i]) << "member " << i << " of " << placed.size();
  }
}

// Every call with itself, and with those after it that share its launch.
TEST(CudaGroups, MembersHaveTheBitsOfTheirOwnLaunches) {
  OCTAVO_NEEDS_CUDA();
  struct Supported {
    const NamedCase* named;
    Call call;
    Case c;
  };
  std::map<const Kernel*, std::vector<Supported>> by_kernel;
  for (const NamedCase& named : all_cases()) {
    each_supported(named, [&](const Kernel& kernel, const Call& call, const Case& c) {
      if (kernel.can_group && element_count(call.outputs[0].shape) > 0) {
        by_kernel[&kernel].push_back({&named, call, c});
      }
    });
  }
  EXPECT_FALSE(by_kernel.empty());
  for (const auto& [kernel, all] : by_kernel) {
    size_t groups = 0, mixed = 0;
    for (size_t first = 0; first < all.size(); ++first) {
      SCOPED_TRACE(std::string(kernel->name) + " " + all[first].named->name);
      std::vector<const Call*> calls{&all[first].call, &all[first].call};
      if (!kernel->can_group(calls)) continue;
      std::deque<Placed> placed;
      for (int twice = 0; twice < 2; ++twice) {
        placed.emplace_back(*kernel, all[first].call, all[first].c);
      }
      for (size_t next = first + 1; next < all.size() && calls.size() < 4; ++next) {
        calls.push_back(&all[next].call);
        if (kernel->can_group(calls)) {
          placed.emplace_back(*kernel, all[next].call, all[next].c);
        } else {
          calls.pop_back();
        }
      }
      expect_same_bits(*kernel, placed);
      ++groups;
      mixed += placed.size() > 2;
    }
    std::printf("%-45s %zu groups, %zu of different calls\n", kernel->name, groups, mixed);
    EXPECT_GT(groups, 0u) << kernel->name;
  }
}

}  // namespace
}  // namespace octavo::test
