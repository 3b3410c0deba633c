// Plans on a device that share launches and write concats' parts in place: every arithmetic's Flux
// step has the bits that it has without.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cuda_device.h"
#include "models/random_store.h"
#include "run/component.h"
#include "support.h"

namespace octavo {
namespace {

Config small_flux() {
  return Config::parse(R"({"_class_name": "FluxTransformer2DModel", "attention_head_dim": 128,
      "num_attention_heads": 2, "axes_dims_rope": [16, 56, 56], "guidance_embeds": true,
      "in_channels": 64, "joint_attention_dim": 192, "num_layers": 2, "num_single_layers": 2,
      "pooled_projection_dim": 64})",
                       "small Flux");
}

struct Arithmetic {
  const char* scheme;  // "": none
  DType compute;
};
constexpr Arithmetic kArithmetics[] = {{"", DType::f32},        {"", DType::bf16},
                                       {"fp8", DType::bf16},    {"fp8dqrow", DType::bf16},
                                       {"int8", DType::bf16},   {"int8dq", DType::bf16},
                                       {"int8wo", DType::bf16}, {"fp8wo", DType::bf16},
                                       {"int4wo", DType::bf16}, {"int8", DType::f32}};

class Flux {
 public:
  explicit Flux(const Arithmetic& arithmetic)
      : config_(small_flux()),
        family_(find_family(config_)),
        compute_(arithmetic.compute),
        store_(family_, config_, arithmetic.compute,
               *arithmetic.scheme ? std::optional(find_scheme(arithmetic.scheme)) : std::nullopt) {}

  Component make(bool group, bool reuse) const {
    ComponentOptions options;
    options.compute = compute_;
    options.hoist = false;
    options.plan.device = test::cuda().device;
    options.plan.group = group;
    options.plan.reuse_memory = reuse;
    return Component(family_.build(config_, &store_, "forward"), options);
  }
  static TensorMap inputs(const Component& model, int64_t batch) {
    TensorMap inputs;
    uint64_t seed = 0;
    for (const ValueId id : model.source_graph().inputs()) {
      const Value& value = model.source_graph().value(id);
      const Bindings extents{{"B", batch}, {"S", 96}, {"T", 32}};
      inputs[value.name] = test::random_tensor(evaluate(value.type.shape, extents), seed++);
    }
    return inputs;
  }

 private:
  Config config_;
  const Family& family_;
  DType compute_;
  RandomStore store_;
};

size_t launches(const Component& model) {
  size_t count = 0;
  for (const auto& plan : model.plans()) {
    for (const Launch& launch : plan->launches) {
      count += plan->nodes[launch.first].kernel != nullptr;
    }
  }
  return count;
}

class CudaGroups : public testing::TestWithParam<std::tuple<Arithmetic, int64_t>> {};

TEST_P(CudaGroups, StepsHaveTheBitsOfSingleLaunches) {
  OCTAVO_NEEDS_CUDA();
  const auto& [arithmetic, batch] = GetParam();
  const Flux flux(arithmetic);
  Component alone = flux.make(false, false);
  const TensorMap inputs = Flux::inputs(alone, batch);
  const TensorMap expected = alone.run(inputs);
  for (const auto& [name, tensor] : expected) {
    const std::vector<float> found = tensor.to_floats();
    ASSERT_TRUE(std::all_of(found.begin(), found.end(), [](float v) { return std::isfinite(v); }));
    ASSERT_TRUE(std::any_of(found.begin(), found.end(), [](float v) { return v != 0; }));
  }
  for (const bool group : {true, false}) {
    for (const bool reuse : {true, false}) {
      SCOPED_TRACE(fmt::format("group {}, reuse {}", group, reuse));
      Component model = flux.make(group, reuse);
      for (int run = 0; run < 3; ++run) {  // the second is recorded, the third replays
        for (const auto& [name, tensor] : model.run(inputs)) {
          EXPECT_TRUE(test::equal_bytes(tensor, expected.at(name))) << name << ", run " << run;
        }
      }
      fmt::print("{} {} batch {}: {} launches, with group {}, reuse {}\n", arithmetic.scheme,
                 name(arithmetic.compute), batch, launches(model), group, reuse);
      EXPECT_LE(launches(model), launches(alone));
      if (group && arithmetic.compute == DType::bf16) {
        EXPECT_LT(launches(model), launches(alone));
      }
    }
  }
}

std::string case_name(const testing::TestParamInfo<CudaGroups::ParamType>& info) {
  const auto& [arithmetic, batch] = info.param;
  return fmt::format("{}{}_batch{}", arithmetic.scheme, name(arithmetic.compute), batch);
}
INSTANTIATE_TEST_SUITE_P(Arithmetics, CudaGroups,
                         testing::Combine(testing::ValuesIn(kArithmetics), testing::Values(1, 2)),
                         case_name);

}  // namespace
}  // namespace octavo
