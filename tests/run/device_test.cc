// Whole models on devices: two GPUs in one process, batch-invariant plans, and memory that runs
// out.
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "cuda_device.h"
#include "run/golden_case.h"
#include "support.h"

namespace octavo {
namespace {

using test::equal_bytes;
using test::GoldenCall;
using test::GoldenCase;

constexpr const char* kCases[] = {"flux_dev", "autoencoder_kl_flux", "t5_encoder"};
constexpr DType kTypes[] = {DType::f32, DType::bf16};

ComponentOptions options_on(std::shared_ptr<Device> device, DType compute) {
  ComponentOptions options;
  options.compute = compute;
  options.plan.device = std::move(device);
  return options;
}

void expect_same(const TensorMap& found, const TensorMap& expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (const auto& [name, tensor] : expected) {
    EXPECT_TRUE(equal_bytes(found.at(name), tensor)) << what << ", " << name;
  }
}

// A second GPU, or why there is none.
std::shared_ptr<Device> second_device(std::string* reason) {
  try {
    return open_device("cuda:1");
  } catch (const Error& error) {
    *reason = error.what();
    return nullptr;
  }
}

TEST(TwoDevices, RunOneModelToTheSameBits) {
  OCTAVO_NEEDS_CUDA();
  std::string reason;
  const auto second = second_device(&reason);
  if (!second) GTEST_SKIP() << reason;
  for (const char* name : kCases) {
    for (const DType compute : kTypes) {
      const GoldenCase golden(name);
      for (const GoldenCall& call : golden.calls()) {
        SCOPED_TRACE(fmt::format("{} {}, {}", name, call.method, octavo::name(compute)));
        Component a(golden.build(call.method), options_on(test::cuda().device, compute));
        Component b(golden.build(call.method), options_on(second, compute));
        const TensorMap expected = a.run(call.inputs);
        // In turns: each run finds the other device current. The second run records.
        for (int i = 0; i < 3; ++i) {
          expect_same(b.run(call.inputs), expected, "cuda:1");
          expect_same(a.run(call.inputs), expected, "cuda:0");
        }
        std::vector<TensorMap> from_a, from_b;
        const auto repeat = [&](Component& component, std::vector<TensorMap>& to) {
          for (int i = 0; i < 20; ++i) to.push_back(component.run(call.inputs));
        };
        std::thread other([&] { repeat(b, from_b); });
        repeat(a, from_a);
        other.join();
        for (size_t i = 0; i < from_a.size(); ++i) {
          expect_same(from_a[i], expected, "cuda:0 beside cuda:1");
          expect_same(from_b.at(i), expected, "cuda:1 beside cuda:0");
        }
      }
    }
  }
}

// The samples `which` of every input that has a batch.
TensorMap samples_of(const Graph& graph, const TensorMap& inputs,
                     const std::vector<int64_t>& which) {
  TensorMap result = inputs;
  for (const ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    const auto found = inputs.find(value.name);
    if (found == inputs.end() || value.type.shape.empty()) continue;
    if (value.type.shape[0].text() != "B") continue;
    const Tensor& all = found->second;
    Shape shape = all.shape();
    shape[0] = static_cast<int64_t>(which.size());
    Tensor chosen = Tensor::empty(all.dtype(), shape);
    const size_t bytes = all.bytes() / static_cast<size_t>(all.dim(0));
    for (size_t i = 0; i < which.size(); ++i) {
      std::memcpy(static_cast<std::byte*>(chosen.mutable_data()) + i * bytes,
                  all.as<std::byte>() + static_cast<size_t>(which[i]) * bytes, bytes);
    }
    result[value.name] = chosen;
  }
  return result;
}

void expect_alone_as_among_others(const GoldenCase& golden, const GoldenCall& call,
                                  const ComponentOptions& options) {
  Component component(golden.build(call.method), options);
  const Graph& graph = component.source_graph();
  const std::vector<int64_t> among{0, 1, 1, 0, 1, 0, 0};
  const TensorMap all = component.run(samples_of(graph, call.inputs, among));
  for (const int64_t sample : {0, 1}) {
    for (const auto& [name, tensor] : component.run(samples_of(graph, call.inputs, {sample}))) {
      const Tensor& whole = all.at(name);
      for (size_t i = 0; i < among.size(); ++i) {
        const auto row = static_cast<int64_t>(i);
        if (among[i] != sample) continue;
        EXPECT_TRUE(equal_bytes(whole.rows(row, row + 1).clone(), tensor)) << name << " of " << i;
      }
    }
  }
}

TEST(BatchInvariant, SamplesOfAModelDoNotDependOnTheirNeighbours) {
  OCTAVO_NEEDS_CUDA();
  for (const char* name : kCases) {
    const GoldenCase golden(name);
    for (const DType compute : kTypes) {
      for (const GoldenCall& call : golden.calls()) {
        SCOPED_TRACE(fmt::format("{} {}, {}", name, call.method, octavo::name(compute)));
        ComponentOptions options = options_on(test::cuda().device, compute);
        options.plan.rules.batch_invariant = true;
        expect_alone_as_among_others(golden, call, options);
      }
    }
  }
}

TEST(BatchInvariant, OnTheCpuOnlyTheReferenceKernelsPromiseIt) {
  const GoldenCase golden("t5_encoder");
  const GoldenCall call = golden.calls().at(0);
  ComponentOptions options;
  options.plan.rules.batch_invariant = true;
  Component fast(golden.build(call.method), options);
  const Error error = test::error_of([&] { fast.run(call.inputs); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_NE(std::string(error.what()).find("OCTAVO_KERNELS=ref"), std::string::npos);
  options.plan.reference_kernels = true;
  expect_alone_as_among_others(golden, call, options);
}

// Takes what the device has, to the last kilobyte.
std::vector<std::shared_ptr<void>> take_all(Device& device) {
  std::vector<std::shared_ptr<void>> held;
  for (size_t bytes = size_t{8} << 30; bytes >= 512; bytes /= 4) {
    try {
      for (;;) held.push_back(device.allocate(bytes, "a filling"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    }
  }
  return held;
}

TEST(DeviceMemory, AModelThatDoesNotFitLeavesNothingBehind) {
  OCTAVO_NEEDS_CUDA();
  Device& device = *test::cuda().device;
  const GoldenCase golden("flux_dev");
  const GoldenCall call = golden.calls().at(0);
  const ComponentOptions options = options_on(test::cuda().device, DType::f32);
  TensorMap expected;
  {
    Component component(golden.build(call.method), options);
    expected = component.run(call.inputs);  // loads kernels, which stay
  }
  const size_t before = device.free_bytes();
  {
    const auto held = take_all(device);
    Component component(golden.build(call.method), options);
    const Error error = test::error_of([&] { component.run(call.inputs); });
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    EXPECT_NE(std::string(error.what()).find("cuda:0 has not the"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find(" bytes of "), std::string::npos) << error.what();
  }
  EXPECT_GE(device.free_bytes(), before);
  Component component(golden.build(call.method), options);
  expect_same(component.run(call.inputs), expected, "after memory came back");
}

}  // namespace
}  // namespace octavo
