// Every CUDA kernel of the table on every case that it supports, against the op's CPU reference
// (expectation.h). Needs a device; without one it says so and is skipped.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <map>
#include <string_view>

#include "base/check.h"
#include "cuda_device.h"
#include "kernels/device_call.h"
#include "kernels/expectation.h"
#include "support.h"

namespace octavo::test {
namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

// Relative errors of kernels on tensor cores beyond f32's.
double narrower(const Kernel& kernel, const Call& call) {
  const std::string_view name = kernel.name;
  // The softmax's weights are rounded to the type of v before they multiply it.
  if (call.op == Op::attention && !contains(name, "simt")) {
    return std::ldexp(1.0, -info(call.inputs[2]->dtype).mantissa_bits - 1);
  }
  // And a gated bias is rounded to bf16.
  if (contains(name, "fast_accumulation_cublaslt") && call.inputs[6]) return 0x1p-9 + 4 * 0x1p-13;
  // Codes times their scale are rounded to bf16.
  if (contains(name, "rounded_to_bf16")) return 0x1p-9;
  // Hopper adds FP8 products with about 13 bits below the largest; sums go to f32 every 128 of K,
  // four instructions.
  if (contains(name, "e4m3") || contains(name, "fp8")) return 4 * 0x1p-13;
  return 0;
}

// Ops that the CPU alone has a kernel for (docs/cuda.md, Left): plans on a device refuse them.
bool is_for_cpu(Op op) { return op == Op::quantized_attention; }

struct Supported {
  const Kernel* kernel;
  Call call;
};
std::vector<Supported> supported(const Case& c) {
  std::vector<Supported> result;
  for (const Kernel& kernel : cuda_kernels(c.op)) {
    Call call = call_of(c, false);
    call.device = cuda().device.get();
    if (!device_knows_specs(call).supported) continue;
    if (kernel.supports(call).supported) result.push_back({&kernel, std::move(call)});
  }
  return result;
}

// Formats for the CPU only; codes in attention and around it, which passes leave alone on devices
// (attention_codes).
bool awaits_kernel(const Case& c) {
  if (!device_knows_specs(call_of(c, false)).supported) return true;
  const bool around = c.op == Op::attention || c.op == Op::qk_norm_rope;
  return is_for_cpu(c.op) || (around && c.attrs.has("out_spec"));
}

class CudaCase : public ::testing::TestWithParam<size_t> {
 protected:
  const NamedCase& named() const { return all_cases()[GetParam()]; }
};

TEST_P(CudaCase, AgreesWithReference) {
  OCTAVO_NEEDS_CUDA();
  const Case c = named().make();
  const auto kernels = supported(c);
  if (kernels.empty() && awaits_kernel(c)) GTEST_SKIP() << "CUDA has no kernel for it yet";
  ASSERT_FALSE(kernels.empty()) << "no CUDA kernel for this case";
  const Expectation e = expect(c);
  expect_trustworthy(c, e.reference[0]);
  for (const auto& [kernel, call] : kernels) {
    for (const int64_t misalign : {0, 16, 4}) {
      if (kernel->alignment > 0 && misalign % kernel->alignment != 0) continue;
      SCOPED_TRACE(fmt::format("{}, operands {} bytes off", kernel->name, misalign));
      const LaunchOptions options{.misalign = misalign};
      const auto found = launch_on_device(*kernel, call, c.inputs, options);
      expect_agreement(e, found, narrower(*kernel, call));
      const auto again =
          launch_on_device(*kernel, call, c.inputs, {.misalign = misalign, .fill = 0});
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_TRUE(equal_bytes(found[i], again[i])) << "output " << i << " of a second launch";
      }
      const Operand &in = *call.inputs[0], &out = call.outputs[0];
      if (kernel->in_place && in.dtype == out.dtype && in.shape == out.shape) {
        const auto in_place =
            launch_on_device(*kernel, call, c.inputs, {.misalign = misalign, .in_place = true});
        EXPECT_TRUE(equal_bytes(found[0], in_place[0])) << "in place";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaCase, ::testing::Range(size_t{0}, all_cases().size()),
                         [](const auto& i) { return all_cases()[i.param].name; });

TEST(CudaKernels, CoverEveryOp) {
  if (cuda_kernels(Op::silu).empty()) GTEST_SKIP() << "this build has no CUDA";
  for (const OpInfo& op : op_table()) {
    EXPECT_EQ(cuda_kernels(op.op).empty(), is_for_cpu(op.op)) << op.name;
  }
}

TEST(CudaKernels, CasesCoverEveryKernel) {
  OCTAVO_NEEDS_CUDA();
  std::map<std::string, std::pair<size_t, std::string>> coverage;  // cases, last refusal
  for (const NamedCase& named : all_cases()) {
    const Case c = named.make();
    Call call = call_of(c, false);
    call.device = cuda().device.get();
    for (const Kernel& kernel : cuda_kernels(c.op)) {
      const Verdict verdict = kernel.supports(call);
      coverage[kernel.name].first += verdict.supported;
      if (!verdict.supported) coverage[kernel.name].second = verdict.reason;
    }
  }
  for (const auto& [name, seen] : coverage) {
    fmt::print("{:45} {:4} cases\n", name, seen.first);
    EXPECT_TRUE(seen.first > 0 || contains(seen.second, "architecture"))
        << name << ": " << seen.second;
  }
}

TEST(CudaDevice, RecordingReplaysWhatWasLaunched) {
  OCTAVO_NEEDS_CUDA();
  Device& device = *cuda().device;
  const auto memory = device.allocate(1024, "test");
  device.fill(memory.get(), 1, 1024);
  const auto recording = device.record([&] { device.fill(memory.get(), 7, 512); });
  std::vector<uint8_t> found(1024);
  device.download(found.data(), memory.get(), found.size());
  EXPECT_EQ(found[0], 1) << "recording is not running";
  recording->replay();
  device.download(found.data(), memory.get(), found.size());
  EXPECT_EQ(found[511], 7);
  EXPECT_EQ(found[512], 1);
}

TEST(CudaDevice, ImpossibleSizesAreErrorsThatNameThem) {
  OCTAVO_NEEDS_CUDA();
  const Error error =
      error_of([] { cuda().device->allocate(size_t{1} << 50, "a tensor of this test"); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  EXPECT_TRUE(contains(error.what(), "1125899906842624 bytes of a tensor of this test"))
      << error.what();
  EXPECT_NE(cuda().device->allocate(1024, "a small one"), nullptr) << "works again";
}

TEST(CudaDevice, UnknownNamesAreErrors) {
  EXPECT_EQ(error_of([] { open_device("tpu"); }).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error_of([] { open_device("cuda:99"); }).code(), ErrorCode::unsupported);
  EXPECT_EQ(open_device("cpu"), nullptr);
}

}  // namespace
}  // namespace octavo::test
