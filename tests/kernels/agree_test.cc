// Every CPU kernel of the table on every case that it supports, against the op's reference kernel
// (expectation.h).
#include <gtest/gtest.h>

#include <map>
#include <set>

#include <fmt/ranges.h>

#include "base/check.h"
#include "base/threads.h"
#include "kernels/expectation.h"
#include "support.h"

namespace octavo::test {
namespace {

struct Supported {
  const Kernel* kernel;
  Call call;
};
// With weights as constants if the kernel takes them only so.
std::vector<Supported> supported(const Case& c) {
  std::vector<Supported> result;
  for (const Kernel& kernel : cpu_kernels(c.op)) {
    for (const bool with_constants : {true, false}) {
      Call call = call_of(c, with_constants);
      if (!kernel.supports(call).supported) continue;
      result.push_back({&kernel, std::move(call)});
      if (c.constants.empty()) break;
    }
  }
  return result;
}

// The same node with one sample more.
Call larger_batch(Call call) {
  const int64_t samples = call.outputs[0].shape[0];
  for (auto& input : call.inputs) {
    const bool varies = input && !input->constant && !input->shape.empty();
    if (varies && input->shape[0] == samples) ++input->shape[0];
  }
  ++call.outputs[0].shape[0];
  return call;
}

class KernelCase : public ::testing::TestWithParam<size_t> {
 protected:
  static void TearDownTestSuite() { set_thread_count(0); }
  const NamedCase& named() const { return all_cases()[GetParam()]; }
  std::string reproducer(const char* test, const Kernel& kernel) const {
    return fmt::format("{}: test_kernels --gtest_filter='Cases/KernelCase.{}/{}'", kernel.name,
                       test, named().name);
  }
};

TEST_P(KernelCase, AgreesWithReference) {
  const Case c = named().make();
  const Expectation e = expect(c);
  expect_trustworthy(c, e.reference[0]);
  const auto kernels = supported(c);
  ASSERT_FALSE(kernels.empty());
  std::set<std::string> names;
  for (const auto& [kernel, call] : kernels) {
    SCOPED_TRACE(reproducer("AgreesWithReference", *kernel));
    expect_agreement(e, launch(*kernel, call, c.inputs, {.misalign = 16}));
    names.insert(kernel->name);
  }
  RecordProperty("kernels", fmt::format("{}", fmt::join(names, " ")));
}

TEST_P(KernelCase, BitsDependOnOperandsOnly) {
  const Case c = named().make();
  const auto kernels = supported(c);
  std::vector<std::vector<Tensor>> expected;
  const auto same = [&](size_t kernel, const LaunchOptions& options, const char* what) {
    const Supported& s = kernels[kernel];
    SCOPED_TRACE(reproducer("BitsDependOnOperandsOnly", *s.kernel));
    const auto found = launch(*s.kernel, s.call, c.inputs, options);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_TRUE(equal_bytes(found[i], expected[kernel][i])) << "output " << i << " " << what;
    }
  };
  set_thread_count(1);
  for (size_t k = 0; k < kernels.size(); ++k) {
    const auto& [kernel, call] = kernels[k];
    expected.push_back(launch(*kernel, call, c.inputs));
    same(k, {}, "in a second launch");
    same(k, {.misalign = 4, .fill = 0}, "over other memory");
    const Call other = larger_batch(call);
    if (kernel->prepare) same(k, {.prepared_for = &other}, "with the state of another batch size");
    const Operand &in = *call.inputs[0], &out = call.outputs[0];
    if (kernel->in_place && in.dtype == out.dtype && in.shape == out.shape) {
      same(k, {.in_place = true}, "in place");
    }
  }
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    for (size_t k = 0; k < kernels.size(); ++k) same(k, {}, "on more threads");
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, KernelCase, ::testing::Range(size_t{0}, all_cases().size()),
                         [](const auto& i) { return all_cases()[i.param].name; });

TEST(KernelCases, CoverEveryKernel) {
  struct Coverage {
    size_t cases = 0;
    std::string refusal = "no case of this op";
  };
  std::map<std::string, Coverage> coverage;
  for (const NamedCase& named : all_cases()) {
    const Case c = named.make();
    const Call call = call_of(c, true);
    for (const Kernel& kernel : cpu_kernels(c.op)) {
      const Verdict verdict = kernel.supports(call);
      coverage[kernel.name].cases += verdict.supported;
      if (!verdict.supported) coverage[kernel.name].refusal = verdict.reason;
    }
  }
  for (const OpInfo& op : op_table()) {
    for (const Kernel& kernel : cpu_kernels(op.op)) {
      const auto& [cases, refusal] = coverage[kernel.name];
      fmt::print("{:45} {:4} cases\n", kernel.name, cases);
      // What this machine cannot run is covered on one that can.
      if (refusal.find("this CPU") != refusal.npos) continue;
      EXPECT_GT(cases, 0u) << kernel.name << ": " << refusal;
    }
  }
}

}  // namespace
}  // namespace octavo::test
