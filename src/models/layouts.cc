#include "models/layouts.h"

#include <algorithm>

#include "base/check.h"
#include "models/models.h"
#include "models/renamed_store.h"

namespace octavo {
namespace {

struct Replacement {
  const char *from, *to;
};

// Attention of autoencoders written before diffusers 0.18.
constexpr Replacement kOldAttention[] = {{".attentions.0.query.", ".attentions.0.to_q."},
                                         {".attentions.0.key.", ".attentions.0.to_k."},
                                         {".attentions.0.value.", ".attentions.0.to_v."},
                                         {".attentions.0.proj_attn.", ".attentions.0.to_out.0."}};

const Replacement* old_attention(const std::string& name) {
  for (const Replacement& row : kOldAttention) {
    if (name.find(row.from) != std::string::npos) return &row;
  }
  return nullptr;
}

bool is_old_autoencoder(const WeightStore& weights) {
  const std::vector<std::string> names = weights.names();
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return old_attention(name) != nullptr; });
}

std::shared_ptr<const WeightStore> rename_old_autoencoder(
    std::shared_ptr<const WeightStore> weights) {
  RenamedStore::Map map;
  for (const std::string& name : weights->names()) {
    std::string renamed = name;
    if (const Replacement* row = old_attention(name)) {
      renamed.replace(renamed.find(row->from), std::string_view(row->from).size(), row->to);
    }
    map[renamed] = {whole(*weights, name)};
  }
  return std::make_shared<RenamedStore>(std::move(weights), std::move(map));
}

// The embedding is stored once, under either of its two names.
constexpr const char *kShared = "shared.weight", *kEmbedTokens = "encoder.embed_tokens.weight";

bool lacks_shared(const WeightStore& weights) {
  return !weights.contains(kShared) && weights.contains(kEmbedTokens);
}

std::shared_ptr<const WeightStore> rename_embedding(std::shared_ptr<const WeightStore> weights) {
  RenamedStore::Map map;
  for (const std::string& name : weights->names()) {
    map[name == kEmbedTokens ? kShared : name] = {whole(*weights, name)};
  }
  return std::make_shared<RenamedStore>(std::move(weights), std::move(map));
}

struct Layout {
  std::string_view class_name;
  bool (*detect)(const WeightStore& weights);
  std::shared_ptr<const WeightStore> (*rename)(std::shared_ptr<const WeightStore> weights);
};
constexpr Layout kLayouts[] = {
    {"FluxTransformer2DModel", is_original_flux, rename_original_flux},
    {"AutoencoderKL", is_old_autoencoder, rename_old_autoencoder},
    {"T5EncoderModel", lacks_shared, rename_embedding},
};

}  // namespace

std::shared_ptr<const WeightStore> adapt_layout(const Family& family, const Config&,
                                                std::shared_ptr<const WeightStore> weights) {
  for (const Layout& layout : kLayouts) {
    if (layout.class_name == family.class_name && layout.detect(*weights)) {
      return layout.rename(std::move(weights));
    }
  }
  return weights;
}

}  // namespace octavo
