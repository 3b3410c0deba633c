// A Flux config from the shapes of a checkpoint that came without one.
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "models/layouts.h"
#include "models/models.h"

namespace octavo {
namespace {

// One more than the largest block number under "prefix.N."; 0 when there is none.
int64_t count_blocks(const std::vector<std::string>& names, std::string_view prefix) {
  int64_t count = 0;
  for (const std::string& name : names) {
    if (!name.starts_with(prefix)) continue;
    int32_t number = -1;  // stays so where there is none, or none that fits
    const char* digits = name.data() + prefix.size();
    std::from_chars(digits, name.data() + name.size(), number);
    count = std::max(count, int64_t{number} + 1);
  }
  return count;
}

int64_t extent(const WeightStore& weights, const std::string& name, size_t axis) {
  const TensorType type = weights.type(name);
  OCTAVO_CHECK_FILE(type.shape.size() > axis && type.shape[axis] > 0,
                    "{}: tensor \"{}\" has shape {}, expected {} axes", weights.where(name), name,
                    to_string(type.shape), axis + 1);
  return type.shape[axis];
}

std::string where(const WeightStore& weights, const std::vector<std::string>& names) {
  return names.empty() ? "checkpoint without tensors" : weights.where(names.front());
}

Json infer(const WeightStore& weights, const std::vector<std::string>& names) {
  const std::string double_blocks = "transformer_blocks.";
  const std::string single_blocks = "single_transformer_blocks.";
  const int64_t layers = count_blocks(names, double_blocks);
  const int64_t singles = count_blocks(names, single_blocks);
  const std::string norm = (layers > 0 ? double_blocks : single_blocks) + "0.attn.norm_q.weight";
  const int64_t dim = extent(weights, "x_embedder.weight", 0);
  const int64_t head_dim = extent(weights, norm, 0);
  OCTAVO_CHECK_FILE(head_dim % 32 == 0 && dim % head_dim == 0,
                    "{}: head size {} of width {}: rotary axes can be told from the weights for "
                    "multiples of 32 that divide the width; put a config.json beside the file",
                    where(weights, names), head_dim, dim);
  return {
      {"_class_name", "FluxTransformer2DModel"},
      {"patch_size", 1},
      {"in_channels", extent(weights, "x_embedder.weight", 1)},
      {"out_channels", extent(weights, "proj_out.weight", 0)},
      {"num_layers", layers},
      {"num_single_layers", singles},
      {"attention_head_dim", head_dim},
      {"num_attention_heads", dim / head_dim},
      {"joint_attention_dim", extent(weights, "context_embedder.weight", 1)},
      {"pooled_projection_dim",
       extent(weights, "time_text_embed.text_embedder.linear_1.weight", 1)},
      {"guidance_embeds", weights.contains("time_text_embed.guidance_embedder.linear_1.weight")},
      {"axes_dims_rope", {head_dim / 8, head_dim * 7 / 16, head_dim * 7 / 16}}};
}

// Of a store with diffusers' names.
Config infer_named(const WeightStore& weights) {
  const std::vector<std::string> names = weights.names();
  const std::string file = where(weights, names);
  OCTAVO_CHECK_FILE(weights.contains("x_embedder.weight"),
                    "{}: no config.json, and the tensors are not Flux's (no \"x_embedder.weight\" "
                    "and no \"double_blocks.*\"); put the model's config.json beside the file",
                    file);
  return Config(infer(weights, names), file + " (config told from the weights)");
}

}  // namespace

Config flux_config_from_weights(const WeightStore& weights) {
  if (!is_original_flux(weights)) return infer_named(weights);
  // The renamed view lives no longer than this call, so it may borrow.
  const std::shared_ptr<const WeightStore> borrowed(&weights, [](const WeightStore*) {});
  return infer_named(*rename_original_flux(borrowed));
}

}  // namespace octavo
