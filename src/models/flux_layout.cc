// Flux's original key names -> diffusers'. Fused projections are read as rows of the same tensor:
// qkv is q, k, v; linear1 is q, k, v and the four times wider MLP. The final layer's modulation is
// stored shift first, diffusers' norm_out has scale first.
#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "models/layouts.h"
#include "models/renamed_store.h"

namespace octavo {
namespace {

constexpr std::string_view kPrefix = "model.diffusion_model.";

struct Target {
  const char* name;
  int rows;  // share of the source's rows, in units
};
struct Rule {
  const char* from;
  std::vector<Target> to;
  bool swap_halves = false;
};

// Without block number and leaf (weight, bias, scale).
const std::vector<Rule> kTop = {
    {"img_in", {{"x_embedder", 1}}},
    {"txt_in", {{"context_embedder", 1}}},
    {"time_in.in_layer", {{"time_text_embed.timestep_embedder.linear_1", 1}}},
    {"time_in.out_layer", {{"time_text_embed.timestep_embedder.linear_2", 1}}},
    {"vector_in.in_layer", {{"time_text_embed.text_embedder.linear_1", 1}}},
    {"vector_in.out_layer", {{"time_text_embed.text_embedder.linear_2", 1}}},
    {"guidance_in.in_layer", {{"time_text_embed.guidance_embedder.linear_1", 1}}},
    {"guidance_in.out_layer", {{"time_text_embed.guidance_embedder.linear_2", 1}}},
    {"final_layer.linear", {{"proj_out", 1}}},
    {"final_layer.adaLN_modulation.1", {{"norm_out.linear", 1}}, true},
};
const std::vector<Rule> kDouble = {
    {"img_mod.lin", {{"norm1.linear", 1}}},
    {"txt_mod.lin", {{"norm1_context.linear", 1}}},
    {"img_attn.qkv", {{"attn.to_q", 1}, {"attn.to_k", 1}, {"attn.to_v", 1}}},
    {"txt_attn.qkv", {{"attn.add_q_proj", 1}, {"attn.add_k_proj", 1}, {"attn.add_v_proj", 1}}},
    {"img_attn.norm.query_norm", {{"attn.norm_q", 1}}},
    {"img_attn.norm.key_norm", {{"attn.norm_k", 1}}},
    {"txt_attn.norm.query_norm", {{"attn.norm_added_q", 1}}},
    {"txt_attn.norm.key_norm", {{"attn.norm_added_k", 1}}},
    {"img_attn.proj", {{"attn.to_out.0", 1}}},
    {"txt_attn.proj", {{"attn.to_add_out", 1}}},
    {"img_mlp.0", {{"ff.net.0.proj", 1}}},
    {"img_mlp.2", {{"ff.net.2", 1}}},
    {"txt_mlp.0", {{"ff_context.net.0.proj", 1}}},
    {"txt_mlp.2", {{"ff_context.net.2", 1}}},
};
const std::vector<Rule> kSingle = {
    {"modulation.lin", {{"norm.linear", 1}}},
    {"linear1", {{"attn.to_q", 1}, {"attn.to_k", 1}, {"attn.to_v", 1}, {"proj_mlp", 4}}},
    {"linear2", {{"proj_out", 1}}},
    {"norm.query_norm", {{"attn.norm_q", 1}}},
    {"norm.key_norm", {{"attn.norm_k", 1}}},
};

struct Group {
  const char *from, *to;
  const std::vector<Rule>* rules;
};
const Group kGroups[] = {{"double_blocks.", "transformer_blocks.", &kDouble},
                         {"single_blocks.", "single_transformer_blocks.", &kSingle},
                         {"", "", &kTop}};

std::string_view without_prefix(std::string_view name) {
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

// "12." of "12.img_mod.lin.weight"; empty for the top group or when there is no number.
std::string_view block_number(const Group& group, std::string_view rest) {
  if (*group.from == '\0') return {};
  const size_t dot = rest.find('.');
  const bool digits = dot != 0 && dot != rest.npos && rest.find_first_not_of("0123456789") == dot;
  return digits ? rest.substr(0, dot + 1) : std::string_view();
}

// Rows of `source` for each target of the rule.
void apply(const Rule& rule, const WeightStore& weights, const std::string& source,
           const std::string& base, const std::string& leaf, RenamedStore::Map& map) {
  const SourceRows all = whole(weights, source);
  int64_t units = rule.swap_halves ? 2 : 0;
  for (const Target& target : rule.to) units += rule.swap_halves ? 0 : target.rows;
  OCTAVO_CHECK_FILE(all.end % units == 0,
                    "{}: tensor \"{}\" has {} rows, expected a multiple of {} ({})",
                    weights.where(source), printable(source), all.end, units,
                    rule.swap_halves ? "shift and scale" : "its fused projections");
  const int64_t unit = all.end / units;
  if (rule.swap_halves) {
    map[base + rule.to[0].name + leaf] = {{source, unit, all.end}, {source, 0, unit}};
    return;
  }
  int64_t begin = 0;
  for (const Target& target : rule.to) {
    const int64_t end = begin + target.rows * unit;
    map[base + target.name + leaf] = {{source, begin, end}};
    begin = end;
  }
}

// False when no rule knows the name.
bool rename(const WeightStore& weights, const std::string& source, RenamedStore::Map& map) {
  const std::string_view name = without_prefix(source);
  const size_t dot = name.rfind('.');
  if (dot == name.npos) return false;
  const std::string leaf(name.substr(dot) == ".scale" ? ".weight" : name.substr(dot));
  for (const Group& group : kGroups) {
    if (!name.starts_with(group.from)) continue;
    const size_t skip = std::string_view(group.from).size();
    const std::string_view number = block_number(group, name.substr(skip));
    const size_t begin = skip + number.size();
    const std::string_view middle = begin < dot ? name.substr(begin, dot - begin) : "";
    for (const Rule& rule : *group.rules) {
      if (middle != rule.from) continue;
      apply(rule, weights, source, std::string(group.to) + std::string(number), leaf, map);
      return true;
    }
  }
  return false;
}

}  // namespace

bool is_original_flux(const WeightStore& weights) {
  const std::vector<std::string> names = weights.names();
  return std::any_of(names.begin(), names.end(), [](const std::string& full) {
    const std::string_view name = without_prefix(full);
    return name.starts_with("double_blocks.") || name.starts_with("single_blocks.");
  });
}

std::shared_ptr<const WeightStore> rename_original_flux(
    std::shared_ptr<const WeightStore> weights) {
  const std::vector<std::string> names = weights->names();
  const bool nested = std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.starts_with(kPrefix);
  });
  RenamedStore::Map map;
  size_t others = 0;
  for (const std::string& name : names) {
    if (nested && !name.starts_with(kPrefix)) {
      ++others;  // text encoders and autoencoder of the same file
    } else if (!rename(*weights, name, map)) {
      map[name] = {whole(*weights, name)};  // check_weights() will name it as unexpected
    }
  }
  if (others > 0) log_info("Flux checkpoint: {} tensors of other parts are not read", others);
  return std::make_shared<RenamedStore>(std::move(weights), std::move(map));
}

}  // namespace octavo
