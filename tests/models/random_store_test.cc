// Random weights have the model's shapes, are numbers, and lie at addresses of their own.
#include "models/random_store.h"

#include <cmath>
#include <set>

#include "stores.h"

namespace octavo::test {
namespace {

Config small_flux() {
  return Config::parse(R"({"_class_name": "FluxTransformer2DModel", "attention_head_dim": 16,
      "axes_dims_rope": [4, 6, 6], "in_channels": 8, "joint_attention_dim": 32,
      "num_attention_heads": 4, "num_layers": 1, "num_single_layers": 1,
      "pooled_projection_dim": 16})",
                       "small flux");
}

TEST(RandomStore, HoldsWhatTheModelReads) {
  const Config config = small_flux();
  const Family& family = find_family(config);
  const RandomStore store(family, config, DType::bf16);
  check_weights(family, config, store);
  check_finite(store);
  std::set<const void*> addresses;
  for (const std::string& name : store.names()) {
    const Tensor tensor = store.tensor(name);
    EXPECT_EQ(tensor.dtype(), DType::bf16) << name;
    EXPECT_EQ(tensor.shape(), store.type(name).shape) << name;
    if (tensor.rank() != 2) continue;
    EXPECT_TRUE(addresses.insert(tensor.data()).second) << name;
  }
  const std::vector<float> w = store.tensor("proj_out.weight").to_floats();
  double squares = 0;
  for (const float v : w) squares += double{v} * v;
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(w.size())), 0.02, 0.003);
}

TEST(RandomStore, QuantizesWhatTheSchemeTakes) {
  const Config config = small_flux();
  const Family& family = find_family(config);
  for (const char* name : {"int8", "fp8dqrow", "int4wo", "w=i4/1x32/static/f16/zp"}) {
    const Scheme scheme = find_scheme(name);
    const RandomStore store(family, config, DType::bf16, scheme);
    const auto layer = store.quantized("transformer_blocks.0.ff.net.2");
    ASSERT_TRUE(layer) << name;
    EXPECT_EQ(layer->weight.codes.shape(), (Shape{64, 256}));
    EXPECT_EQ(layer->activation, scheme.activation);
    const bool is_static =
        scheme.activation && scheme.activation->timing == QuantSpec::Timing::static_;
    EXPECT_EQ(layer->input_scale.has_data(), is_static) << name;
    double squares = 0;
    const std::vector<float> w = dequantize(layer->weight, MatrixView::weight).to_floats();
    for (const float v : w) squares += double{v} * v;
    EXPECT_NEAR(std::sqrt(squares / static_cast<double>(w.size())), 0.02, 0.004) << name;
    EXPECT_FALSE(store.quantized("x_embedder")) << "kept in float by default";
    EXPECT_FALSE(family.build(config, &store, "forward").nodes().empty()) << "builds";
  }
}

TEST(KnownModels, AreListed) {
  EXPECT_EQ(parameter_count(find_family(known_config("flux.1-dev")), known_config("flux.1-dev")),
            11901408320);
  const Error error = error_of([] { known_config("flux.9"); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(std::string(error.what()).find("flux.1-schnell"), std::string::npos);
}

}  // namespace
}  // namespace octavo::test
