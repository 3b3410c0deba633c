// The kernel table, selection and its refusals, running one call.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string_view>

#include "kernels/call.h"
#include "support.h"

namespace octavo::test {
namespace {

using ::testing::HasSubstr;

bool is_reference(const Kernel& kernel) { return std::string_view(kernel.name).ends_with("_ref"); }

TEST(KernelTable, EveryOpHasOneReferenceAndItIsLast) {
  for (const OpInfo& op : op_table()) {
    const auto kernels = cpu_kernels(op.op);
    ASSERT_FALSE(kernels.empty()) << op.name;
    for (const Kernel& kernel : kernels) {
      EXPECT_EQ(is_reference(kernel), &kernel == &kernels.back()) << kernel.name;
    }
    EXPECT_EQ(kernels.back().name, std::string(op.name) + "_ref");
  }
}

TEST(KernelTable, RowsAreCompleteAndNamesUnique) {
  std::set<std::string> names;
  for (const OpInfo& op : op_table()) {
    for (const Kernel& kernel : cpu_kernels(op.op)) {
      EXPECT_EQ(kernel.op, op.op) << kernel.name;
      EXPECT_TRUE(kernel.supports && kernel.launch) << kernel.name;
      EXPECT_TRUE(names.insert(kernel.name).second) << kernel.name;
      EXPECT_THAT(kernel.name, ::testing::StartsWith(op.name));
    }
  }
}

Call linear_call(DType x) {
  return make_call(Op::linear, {}, {random_tensor({3, 8}, 1, 1, x), random_tensor({4, 8}, 2)},
                   "blocks.0.proj");
}

TEST(SelectKernel, ReferenceOnlyTakesTheReference) {
  const Call call = linear_call(DType::f32);
  const Selection selection = select_kernel(call, true);
  EXPECT_STREQ(selection.kernel->name, "linear_ref");
  EXPECT_TRUE(selection.refusals.empty());
}

TEST(SelectKernel, KeepsTheReasonsOfBetterKernels) {
  // No kernel but the reference reads f16 codes' weights that are not known beforehand.
  const Call call = linear_call(DType::f16);
  const Selection selection = select_kernel(call);
  EXPECT_STREQ(selection.kernel->name, "linear_ref");
  ASSERT_EQ(selection.refusals.size(), cpu_kernels(Op::linear).size() - 1);
  for (size_t i = 0; i < selection.refusals.size(); ++i) {
    const std::string prefix = std::string(cpu_kernels(Op::linear)[i].name) + ": ";
    EXPECT_THAT(selection.refusals[i], ::testing::StartsWith(prefix));
    EXPECT_GT(selection.refusals[i].size(), prefix.size());
  }
}

TEST(SelectKernel, FailsWithCallAndEveryReason) {
  Call call = linear_call(DType::f32);
  call.outputs[0].dtype = DType::i32;  // no inference gives this
  const Error error = error_of([&] { select_kernel(call); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_THAT(error.what(), HasSubstr("[blocks.0.proj]"));
  EXPECT_THAT(error.what(), HasSubstr("linear(f32[3, 8], f32[4, 8]) -> i32[3, 4]"));
  for (const Kernel& kernel : cpu_kernels(Op::linear)) {
    EXPECT_THAT(error.what(), HasSubstr(std::string(kernel.name) + ": "));
  }
  EXPECT_THAT(error.what(), HasSubstr("linear_ref: the output is i32, not f32, f16 or bf16"));
}

TEST(SelectKernel, ReferencesRefuseWithReasons) {
  const auto reason = [](const Call& call) {
    return cpu_kernels(call.op).back().supports(call).reason;
  };
  Call call = linear_call(DType::f32);
  call.attrs.set("activation", std::string("relu"));
  EXPECT_EQ(reason(call), "activation \"relu\" is not one of none, silu, gelu_tanh, gelu");
  call = make_call(Op::reshape, {{"shape", SymShape{2, 4}}}, {random_tensor({8}, 1)});
  call.inputs[0]->dtype = DType::i4;
  EXPECT_EQ(reason(call), "elements of i4 are packed");
  call = make_call(Op::quantized_linear, {{"w_spec", std::string("i8/1x*/static/f32")}},
                   {random_tensor({3, 8}, 1), std::nullopt, random_tensor({4, 8}, 2, 40, DType::i8),
                    random_tensor({4, 1}, 3)});
  EXPECT_EQ(reason(call), "");
  call.inputs[3]->shape = {1, 1};
  EXPECT_EQ(reason(call),
            "input 3 is not a float [4, 1] as spec i8/1x*/static/f32 of input 2 wants");
  call.inputs[2]->dtype = DType::e4m3;
  EXPECT_EQ(reason(call), "input 2 is e4m3, not i8 as its spec i8/1x*/static/f32 says");
}

TEST(SelectKernel, DevicesDoNotTakeFormatsThatTheyDoNotKnow) {
  const auto verdict = [](const char* key, const char* spec) {
    return device_knows_specs({Op::dequantize, {{key, std::string(spec)}}, {}, {}, "x"});
  };
  for (const char* known :
       {"i8/1x*/static/f32", "i4/1x64/static/f16/zp", "e2m1/1x32/static/e8m0"}) {
    EXPECT_TRUE(verdict("w_spec", known).supported) << known;
  }
  for (const char* spec : {"i5/1x64/static/f16", "u8/1x64/static/f16/zp", "i2/1x64/static/f16"}) {
    for (const char* key : {"spec", "w_spec", "x_spec", "out_spec"}) {
      EXPECT_EQ(verdict(key, spec).reason, fmt::format("{} {} is for the CPU only", key, spec));
    }
  }
}

TEST(RunCall, ChecksItsInputs) {
  const Call call = linear_call(DType::f32);
  const Tensor x = random_tensor({3, 8}, 1), w = random_tensor({4, 8}, 2);
  const auto message = [&](const std::vector<Tensor>& inputs) {
    return std::string(error_of([&] { run_call(call, inputs); }).what());
  };
  EXPECT_EQ(message({x}), "[blocks.0.proj] linear has 2 inputs but 1 were given");
  EXPECT_EQ(message({x, x}),
            "[blocks.0.proj] input 1 of linear is f32[3, 8] but the call says f32[4, 8]");
  EXPECT_EQ(message({x, Tensor()}), "[blocks.0.proj] input 1 of linear has no data");
  EXPECT_EQ(run_call(call, {x, w})[0].shape(), (Shape{3, 4}));
}

}  // namespace
}  // namespace octavo::test
