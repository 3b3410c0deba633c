// Configs that cannot be: each is refused with its file, key, the value found and what is expected.
#include "stores.h"

namespace octavo {
namespace {

using nlohmann::json;
using test::expect_error;
using test::published;
using test::with;

struct BadValue {
  const char* config;
  const char* key;
  json value;  // null: the key is removed
  std::vector<std::string> parts;
};

std::vector<BadValue> bad_values() {
  return {
      {"flux1-dev", "num_attention_heads", 0, {"is 0", "from 1"}},
      {"flux1-dev", "num_attention_heads", -24, {"is -24"}},
      {"flux1-dev", "num_attention_heads", 1 << 30, {"1073741824"}},
      {"flux1-dev", "num_attention_heads", nullptr, {"is missing"}},
      {"flux1-dev", "num_layers", -1, {"is -1", "from 0"}},
      {"flux1-dev", "num_layers", "19", {"\"19\"", "whole number"}},
      {"flux1-dev", "num_layers", 19.5, {"19.5", "whole number"}},
      {"flux1-dev", "num_single_layers", nullptr, {"is missing"}},
      {"flux1-dev", "attention_head_dim", 64, {"axes_dims_rope", "add up to", "64"}},
      {"flux1-dev", "axes_dims_rope", json::array({16, 56, 58}), {"add up to", "= 128"}},
      {"flux1-dev", "axes_dims_rope", json::array({15, 57, 56}), {"even numbers"}},
      {"flux1-dev", "axes_dims_rope", json::array(), {"array of 1"}},
      {"flux1-dev", "axes_dims_rope", 128, {"is 128", "array"}},
      {"flux1-dev", "guidance_embeds", 1, {"is 1", "true or false"}},
      {"flux1-dev", "patch_size", 2, {"is 2", "from 1 to 1"}},
      {"flux1-dev", "in_channels", 0, {"is 0"}},
      {"flux1-dev", "joint_attention_dim", json(1e300), {"whole number"}},
      {"flux1-dev", "pooled_projection_dim", json::object(), {"whole number"}},
      {"flux-vae", "norm_num_groups", 48, {"block_out_channels", "multiples of", "48"}},
      {"flux-vae", "norm_num_groups", 0, {"is 0"}},
      {"flux-vae", "block_out_channels", json::array({128, -256, 512, 512}), {"-256"}},
      {"flux-vae", "block_out_channels", json::array({128, 256}), {"down_block_types", "2 times"}},
      {"flux-vae", "block_out_channels", "128", {"\"128\""}},
      {"flux-vae", "layers_per_block", 0, {"is 0"}},
      {"flux-vae", "latent_channels", nullptr, {"is missing"}},
      {"flux-vae", "act_fn", "mish", {"mish", "silu"}},
      {"flux-vae",
       "up_block_types",
       json::array(
           {"UpDecoderBlock2D", "AttnUpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"}),
       {"AttnUpDecoderBlock2D", "4 times \"UpDecoderBlock2D\""}},
      {"flux-vae", "use_quant_conv", "no", {"\"no\"", "true or false"}},
      {"t5-v1_1-xxl", "feed_forward_proj", "relu", {"relu", "gated-gelu"}},
      {"t5-v1_1-xxl", "dense_act_fn", "relu", {"relu", "gelu_new"}},
      {"t5-v1_1-xxl", "is_gated_act", false, {"false"}},
      {"t5-v1_1-xxl", "is_decoder", true, {"true", "encoder"}},
      {"t5-v1_1-xxl", "num_heads", 0, {"is 0"}},
      {"t5-v1_1-xxl", "num_layers", 0, {"is 0"}},
      {"t5-v1_1-xxl", "d_kv", -64, {"-64"}},
      {"t5-v1_1-xxl", "vocab_size", nullptr, {"is missing"}},
      {"t5-v1_1-xxl", "relative_attention_num_buckets", 30, {"is 30", "multiple of 4"}},
      {"t5-v1_1-xxl", "relative_attention_max_distance", 8, {"is 8"}},
      {"t5-v1_1-xxl", "layer_norm_epsilon", -1e-6, {"-1e-06"}},
  };
}

TEST(Configs, ImpossibleValuesAreNamed) {
  for (const BadValue& bad : bad_values()) {
    const Config config = with(published(bad.config), bad.key, bad.value);
    const Family& family = find_family(config);
    std::vector<std::string> parts = bad.parts;
    parts.push_back("config.json");
    const Error error =
        test::error_of([&] { family.build(config, nullptr, family.methods.front()); });
    expect_error(error, ErrorCode::bad_file, parts);
  }
}

// As diffusers has them: FLUX.1's published config has no axes_dims_rope, SDXL's VAE neither quant
// convolutions nor mid-block attention among its keys.
TEST(Configs, DefaultsAreTheLibrarys) {
  for (const auto& [name, key] :
       std::map<std::string, std::string>{{"flux1-dev", "axes_dims_rope"},
                                          {"flux1-schnell", "guidance_embeds"},
                                          {"flux1-dev", "patch_size"},
                                          {"flux-vae", "mid_block_add_attention"},
                                          {"flux-vae", "act_fn"},
                                          {"t5-v1_1-xxl", "layer_norm_epsilon"},
                                          {"t5-v1_1-xxl", "dense_act_fn"}}) {
    const Config config = published(name), without = with(config, key, nullptr);
    const Family& family = find_family(config);
    EXPECT_TRUE(config.has(key));
    EXPECT_EQ(to_text(family.build(without, nullptr, family.methods[0])),
              to_text(family.build(config, nullptr, family.methods[0])))
        << name << " without " << key;
  }
  EXPECT_NE(parameter_count(find_family(published("flux-vae")), published("flux-vae")),
            parameter_count(find_family(published("flux-vae")),
                            with(published("flux-vae"), "use_quant_conv", nullptr)));
}

TEST(Configs, FluxWithoutSomeBlocks) {
  for (const auto& [layers, singles] : {std::pair{0, 2}, std::pair{2, 0}, std::pair{0, 0}}) {
    Config config = with(published("flux1-dev"), "num_layers", layers);
    config = with(config, "num_single_layers", singles);
    const Graph graph = find_family(config).build(config, nullptr, "forward");
    EXPECT_EQ(graph.value(graph.outputs()[0].value).type.shape,
              (SymShape{Dim::symbol("B"), Dim::symbol("S"), Dim(64)}));
  }
}

TEST(Configs, OutChannelsMayDiffer) {
  const Config config = with(published("flux1-dev"), "out_channels", 48);
  const Graph graph = find_family(config).build(config, nullptr, "forward");
  EXPECT_EQ(graph.value(graph.outputs()[0].value).type.shape.back(), Dim(48));
}

TEST(Configs, UnknownClasses) {
  const Config other = with(published("flux1-dev"), "_class_name", "SD3Transformer2DModel");
  expect_error(test::error_of([&] { find_family(other); }), ErrorCode::unsupported,
               {"config.json", "SD3Transformer2DModel", "FluxTransformer2DModel", "AutoencoderKL",
                "T5EncoderModel"});
  const Config none = with(published("flux1-dev"), "_class_name", nullptr);
  expect_error(test::error_of([&] { find_family(none); }), ErrorCode::bad_file,
               {"config.json", "_class_name", "is missing"});
  const Config number = with(published("flux1-dev"), "_class_name", 7);
  expect_error(test::error_of([&] { find_family(number); }), ErrorCode::bad_file, {"is 7"});
}

}  // namespace
}  // namespace octavo
