// Configs of published models, for measuring at their sizes. Sources: the transformer's config.json
// of black-forest-labs' FLUX.1-dev and FLUX.1-schnell.
#include <array>

#include "base/check.h"
#include "models/random_store.h"

namespace octavo {
namespace {

struct Known {
  std::string_view name, config;
};

constexpr std::array kKnown{
    Known{"flux.1-dev", R"({"_class_name": "FluxTransformer2DModel", "attention_head_dim": 128,
      "axes_dims_rope": [16, 56, 56], "guidance_embeds": true, "in_channels": 64,
      "joint_attention_dim": 4096, "num_attention_heads": 24, "num_layers": 19,
      "num_single_layers": 38, "patch_size": 1, "pooled_projection_dim": 768})"},
    Known{"flux.1-schnell", R"({"_class_name": "FluxTransformer2DModel", "attention_head_dim": 128,
      "axes_dims_rope": [16, 56, 56], "guidance_embeds": false, "in_channels": 64,
      "joint_attention_dim": 4096, "num_attention_heads": 24, "num_layers": 19,
      "num_single_layers": 38, "patch_size": 1, "pooled_projection_dim": 768})"},
};

}  // namespace

Config known_config(std::string_view model) {
  std::string names;
  for (const Known& known : kKnown) {
    if (known.name == model) return Config::parse(known.config, std::string(model));
    names += (names.empty() ? "" : " ") + std::string(known.name);
  }
  OCTAVO_FAIL(invalid_argument, "no sizes are known for \"{}\"; known models: {}", model, names);
}

}  // namespace octavo
