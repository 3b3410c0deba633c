#pragma once
// The zoo's emoji model and copies of it with one thing changed.
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "io/safetensors.h"
#include "models/model_source.h"
#include "quant/recipe.h"
#include "quant/stats.h"
#include "support.h"

namespace octavo::test {

inline const std::filesystem::path kZoo = std::filesystem::path(OCTAVO_SOURCE_DIR) / "zoo/emoji";

inline std::shared_ptr<const ModelSource> zoo() {
  static const std::shared_ptr<const ModelSource> model = open_model(kZoo);
  return model;
}

using Tensors = std::map<std::string, Tensor>;

// A copy of the model in `folder` whose transformer weights `change` has changed.
inline std::filesystem::path changed_zoo(const std::filesystem::path& folder,
                                         const std::function<void(Tensors&)>& change) {
  const auto copy = folder / "emoji";
  std::filesystem::copy(kZoo, copy, std::filesystem::copy_options::recursive);
  const auto path = copy / "transformer/diffusion_pytorch_model.safetensors";
  Tensors tensors;
  {
    const auto file = SafetensorsFile::open(path);
    for (const auto& [name, entry] : file->entries()) tensors[name] = file->tensor(name).clone();
  }
  change(tensors);
  save_safetensors(path, tensors);
  return copy;
}

// Statistics for every quantizable layer, of random inputs: for tests that need some.
inline Stats made_up_stats(const ModelSource& model) {
  Stats stats;
  stats.model_hash = model.hash();
  stats.schedule = "{}";
  uint64_t seed = 0;
  for (const CoverageRow& row : cover(Recipe::parse("* int8wo", "all"), model).rows) {
    const int64_t channels = row.layer.weight_shape[1];
    stats.add(row.name()).steps[0] = observe(random_tensor({4, channels}, ++seed, 3), -1);
  }
  return stats;
}

}  // namespace octavo::test
