// Components against diffusers and transformers, in every configuration.
#include "run/golden_case.h"

#include "base/threads.h"
#include "cuda_device.h"
#include "passes/pipeline.h"
#include "support.h"

namespace octavo {
namespace {

using test::GoldenCall;
using test::GoldenCase;
using test::rel_l2;

constexpr const char* kCases[] = {"flux_dev", "flux_schnell", "autoencoder_kl_flux",
                                  "autoencoder_kl_sdxl", "t5_encoder"};

struct Configuration {
  const char* name;
  ComponentOptions options;
  bool on_cuda = false;
};

std::vector<std::string> all_passes() {
  std::vector<std::string> names;
  for (const Pass& pass : pass_table()) names.push_back(pass.name);
  return names;
}

std::vector<Configuration> configurations() {
  std::vector<Configuration> list(7);
  list[0].name = "default";
  list[1].name = "no_passes";
  list[1].options.disabled_passes = all_passes();
  list[2].name = "reference_kernels";
  list[2].options.plan.reference_kernels = true;
  list[3].name = "no_reuse";
  list[3].options.plan.reuse_memory = false;
  list[4].name = "cuda";
  list[4].on_cuda = true;
  list[5].name = "bf16";
  list[5].options.compute = DType::bf16;
  list[6].name = "cuda_bf16";
  list[6].options.compute = DType::bf16;
  list[6].on_cuda = true;
  return list;
}

class Golden : public testing::TestWithParam<std::tuple<const char*, Configuration>> {
 protected:
  void SetUp() override {
    if (!std::get<1>(GetParam()).on_cuda) return;
    OCTAVO_NEEDS_CUDA();
    options_.plan.device = test::cuda().device;
  }
  GoldenCase golden_{std::get<0>(GetParam())};
  ComponentOptions options_{std::get<1>(GetParam()).options};
};

// How far from the library's float64 run an evaluation may be. f32: as the goldens say. bf16: the
// reference kernels' evaluation of the same graph rounds the same values to bf16, each kernel by
// itself checked against its definition, so its distance from float64 is what these roundings cost;
// another order of sums or fused roundings give a distance of the same distribution. Twice that:
// the two distances, of 2^8 values and more, differ by far less.
struct Tolerances {
  std::map<std::string, double> outputs, taps;  // by field, by name
};

Tolerances tolerances(const GoldenCase& golden, const GoldenCall& call,
                      const ComponentOptions& options) {
  Tolerances t;
  const TensorMap taps = golden.taps(golden.build(call.method));
  if (options.compute == DType::f32) {
    for (const auto& [field, output] : call.outputs) t.outputs[field] = golden.tolerance(output);
    for (const auto& [name, tensor] : taps) t.taps[name] = golden.tap_tolerance();
    return t;
  }
  // Values that the reference has right to the last bit may still be off by one rounding.
  const auto twice = [](const Tensor& found, const Tensor& expected) {
    return 2 * std::max(rel_l2(found, expected), 0x1p-9);
  };
  ComponentOptions reference = options;
  reference.plan = {};
  reference.plan.reference_kernels = true;
  Component component(golden.build(call.method), reference);
  const TensorMap outputs = component.run(
      call.inputs,
      options.taps.empty() ? Observer() : [&](const std::string& name, const Tensor& tensor) {
        t.taps[name] = twice(tensor, taps.at(name));
      });
  for (const auto& [field, output] : call.outputs) {
    t.outputs[field] = twice(outputs.at(field), golden.expected(output));
    EXPECT_LT(t.outputs[field], 0.1) << "bf16 says nothing of " << field;
  }
  return t;
}

void expect_outputs(const GoldenCase& golden, const GoldenCall& call, const TensorMap& outputs,
                    const Tolerances& tolerances) {
  ASSERT_FALSE(call.outputs.empty());
  for (const auto& [field, output] : call.outputs) {
    ASSERT_TRUE(outputs.contains(field)) << field;
    EXPECT_LT(rel_l2(outputs.at(field), golden.expected(output)), tolerances.outputs.at(field))
        << field;
  }
}

TEST_P(Golden, OutputsAreTheLibrarys) {
  for (const GoldenCall& call : golden_.calls()) {
    Component component(golden_.build(call.method), options_);
    const TensorMap outputs = component.run(call.inputs);
    expect_outputs(golden_, call, outputs, tolerances(golden_, call, options_));
    EXPECT_EQ(outputs.size(), call.outputs.size());
    // On a device, the second run records and the third only replays.
    for (int again = 0; again < 2; ++again) {
      for (const auto& [field, tensor] : component.run(call.inputs)) {
        EXPECT_TRUE(test::equal_bytes(tensor, outputs.at(field))) << field;
      }
    }
  }
}

// Taps must neither miss a value nor change the result.
TEST_P(Golden, TapsAreTheLibrarys) {
  size_t seen = 0;
  for (const GoldenCall& call : golden_.calls()) {
    const TensorMap expected = golden_.taps(golden_.build(call.method));
    for (const auto& [name, tensor] : expected) options_.taps.push_back(name);
    Component component(golden_.build(call.method), options_);
    EXPECT_EQ(component.tapped().size(), expected.size());
    TensorMap found;
    const TensorMap outputs = component.run(
        call.inputs,
        [&](const std::string& name, const Tensor& tensor) { found[name] = tensor.clone(); });
    const Tolerances allowed = tolerances(golden_, call, options_);
    expect_outputs(golden_, call, outputs, allowed);
    for (const auto& [name, tensor] : expected) {
      ASSERT_TRUE(found.contains(name)) << name;
      EXPECT_LT(rel_l2(found[name], tensor), allowed.taps.at(name)) << name;
    }
    EXPECT_EQ(found.size(), expected.size());
    seen += found.size();
    options_.taps.clear();
  }
  EXPECT_GE(seen, 7u);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, Golden, testing::Combine(testing::ValuesIn(kCases), testing::ValuesIn(configurations())),
    [](const auto& param) {
      return std::string(std::get<0>(param.param)) + "_" + std::get<1>(param.param).name;
    });

// Flux by rate: two steps, each against the library, with every tap seen in each.
class GoldenByRate : public testing::TestWithParam<std::tuple<const char*, bool, bool>> {};

TEST_P(GoldenByRate, StepsAreTheLibrarys) {
  const auto& [name, hoist, on_cuda] = GetParam();
  if (on_cuda) OCTAVO_NEEDS_CUDA();
  const GoldenCase golden(name);
  const GoldenCall call = golden.calls().at(0);
  const TensorMap taps = golden.taps(golden.build("forward"));
  ComponentOptions options;
  options.hoist = hoist;
  if (on_cuda) options.plan.device = test::cuda().device;
  for (const auto& [tap, tensor] : taps) options.taps.push_back(tap);
  Component component(golden.build("forward"), options);
  TensorMap request = call.inputs;
  const TensorMap step{*request.find("hidden_states")};
  const Tensor timestep = request.at("timestep");
  request.erase("hidden_states");
  request.erase("timestep");
  Tensor other = timestep.clone();
  for (int64_t i = 0; i < other.elements(); ++i) other.as_mutable<float>()[i] *= 0.5f;
  component.begin(request, {{{"timestep", other}}, {{"timestep", timestep}}});

  const Tensor first = component.step(0, step).at("sample");
  TensorMap found;
  const TensorMap second = component.step(
      1, step, [&](const std::string& tap, const Tensor& t) { found[tap] = t.clone(); });
  const Tolerances allowed = tolerances(golden, call, options);
  expect_outputs(golden, call, second, allowed);
  EXPECT_GT(rel_l2(first, second.at("sample")), 1e-3);  // another timestep, another result
  EXPECT_EQ(found.size(), taps.size());
  for (const auto& [tap, tensor] : taps) {
    ASSERT_TRUE(found.contains(tap)) << tap;
    EXPECT_LT(rel_l2(found[tap], tensor), allowed.taps.at(tap)) << tap;
  }
  // Steps come in any order.
  EXPECT_TRUE(same_bytes(component.step(0, step).at("sample"), first));
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenByRate,
                         testing::Combine(testing::Values("flux_dev", "flux_schnell"),
                                          testing::Bool(), testing::Bool()));

TEST(GoldenThreads, AnyNumberGivesTheSameBits) {
  for (const char* name : kCases) {
    const GoldenCase golden(name);
    for (const GoldenCall& call : golden.calls()) {
      TensorMap first;
      for (int threads : {1, 2, 3}) {
        set_thread_count(threads);
        Component component(golden.build(call.method), {});
        const TensorMap outputs = component.run(call.inputs);
        if (threads == 1) first = outputs;
        for (const auto& [field, tensor] : outputs) {
          EXPECT_TRUE(test::equal_bytes(tensor, first.at(field))) << name << " " << field;
        }
      }
    }
  }
  set_thread_count(0);
}

}  // namespace
}  // namespace octavo
