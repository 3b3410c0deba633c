// What users meet when a device fails them: the error names what was asked for, and nothing is
// leaked. What breaks a device for good happens in child processes.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cstdlib>

#include "cuda_device.h"
#include "kernels/cases.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "support.h"

namespace octavo::test {

const void* foreign_kernel();
cudaError_t launch_foreign_kernel();

namespace {

bool contains(const Error& error, const std::string& part) {
  return std::string(error.what()).find(part) != std::string::npos;
}

TEST(CudaErrors, MemoryThatRunsOutIsAllGivenBack) {
  OCTAVO_NEEDS_CUDA();
  Device& device = *cuda().device;
  const size_t before = device.free_bytes();
  {
    std::vector<std::shared_ptr<void>> held;
    for (const size_t bytes : {size_t{8} << 30, size_t{64} << 20, size_t{1} << 20}) {
      const Error error = error_of([&] {
        for (;;) held.push_back(device.allocate(bytes, "a piece of this test"));
      });
      EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
      EXPECT_TRUE(contains(
          error, fmt::format("cuda:0 has not the {} bytes of a piece of this test", bytes)))
          << error.what();
      EXPECT_TRUE(contains(error, "are free")) << error.what();
    }
    EXPECT_LT(device.free_bytes(), size_t{2} << 20);
  }
  EXPECT_EQ(device.free_bytes(), before);
}

TEST(CudaErrors, DriversThatAreMissingOrTooOldAreNamed) {
  EXPECT_EQ(cuda::no_device_reason(cudaErrorInsufficientDriver, 0),
            "no CUDA device: no NVIDIA driver is installed");
  EXPECT_EQ(cuda::no_device_reason(cudaErrorInsufficientDriver, 12040),
            fmt::format("the NVIDIA driver supports CUDA 12.4; this build needs {}.{}",
                        CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10));
  EXPECT_NE(cuda::no_device_reason(cudaErrorNoDevice, 13000).find("no CUDA"), std::string::npos);
}

TEST(CudaErrors, MissingCodeForTheArchitectureIsAnErrorThatNamesBoth) {
  OCTAVO_NEEDS_CUDA();
  Device& device = *cuda().device;
  device.activate();
  EXPECT_NO_THROW(cuda::require_code(cuda::probe_kernel(), device.info()));
  const Error error = error_of([&] { cuda::require_code(foreign_kernel(), device.info()); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_TRUE(contains(error, "cuda:0")) << error.what();
  EXPECT_TRUE(contains(error, fmt::format("compute capability {}.{}; this build has kernels for ",
                                          device.info().arch / 10, device.info().arch % 10)))
      << error.what();
  const Error launch = error_of([] { cuda::check(launch_foreign_kernel(), "some.layer"); });
  EXPECT_EQ(launch.code(), ErrorCode::unsupported) << launch.what();
  EXPECT_TRUE(contains(launch, "some.layer: this build has no kernels")) << launch.what();
  device.synchronize();  // the device still works
}

// One layer on an address that is not the device's.
void launch_on_nowhere(Device& device) {
  const Tensor x = values({1 << 20}, DType::f32, 1);
  Call call = make_call(Op::silu, {}, {x}, "some.layer");
  call.device = &device;
  const auto memory = device.allocate(x.bytes(), "the output");
  const void* input = reinterpret_cast<const void*>(uintptr_t{256});
  void* output = memory.get();
  cuda_kernels(Op::silu)[0].launch(call, nullptr, {{&input, 1}, {&output, 1}, nullptr});
}

// Prints what is wrong and returns 1, or returns 0.
int meet_a_lost_device() {
  const auto device = open_device("cuda");
  const auto message = [](const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return fmt::format("{}: {}", static_cast<int>(error.code()), error.what());
    }
    return std::string("nothing was thrown");
  };
  launch_on_nowhere(*device);
  const std::string first = message([&] { device->synchronize(); });
  const std::string later = message([&] { device->allocate(1024, "more"); });
  const std::string again = message([&] { open_device("cuda"); });
  fmt::print(stderr, "{}\n{}\n{}\n", first, later, again);
  const std::string code = fmt::format("{}: ", static_cast<int>(ErrorCode::device));
  for (const std::string& text : {first, later, again}) {
    if (!text.starts_with(code) || text.find("the device is lost") == text.npos) return 1;
  }
  const bool named = first.find("cuda:0") != first.npos && later.find("allocat") != later.npos;
  return named ? 0 : 1;
}

TEST(CudaErrorsDeathTest, ALostDeviceSaysSoAndTheNextProcessWorks) {
  OCTAVO_NEEDS_CUDA();
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::_Exit(meet_a_lost_device()), testing::ExitedWithCode(0), "the device is lost");
  EXPECT_EXIT(std::_Exit(open_device("cuda") ? 0 : 1), testing::ExitedWithCode(0), "");
  cuda().device->synchronize();
}

}  // namespace
}  // namespace octavo::test
