#include "models/model_source.h"

#include "base/check.h"
#include "io/artifact.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "models/folder_source.h"
#include "models/models.h"

namespace octavo {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifests[] = {"pipeline.json", "model_index.json"};

void check_exists(const fs::path& path) {
  std::error_code error;
  const bool exists = fs::exists(path, error);
  OCTAVO_CHECK_CODE(io, exists, "cannot open {}: {}", path.string(),
                    error ? error.message() : "No such file or directory");
}

bool is_artifact(const fs::path& path) {
  return path.extension() == ".safetensors" &&
         SafetensorsFile::open(path)->metadata().count(Artifact::kMetadataKey) != 0;
}

Config component_config(const fs::path& path, const WeightStore& weights) {
  const fs::path beside = (fs::is_directory(path) ? path : path.parent_path()) / "config.json";
  return fs::exists(beside) ? Config::load(beside) : flux_config_from_weights(weights);
}

}  // namespace

ComponentSource open_component(const fs::path& path) {
  check_exists(path);
  std::shared_ptr<const WeightStore> stored = Checkpoint::open(path);
  const Config config = component_config(path, *stored);
  const Family& family = find_family(config);
  std::shared_ptr<const WeightStore> weights = adapt_layout(family, config, std::move(stored));
  check_weights(family, config, *weights);
  return {config, std::move(weights)};
}

std::shared_ptr<const ModelSource> open_model(const fs::path& path) {
  check_exists(path);
  if (!fs::is_directory(path)) {
    return is_artifact(path) ? open_artifact(path) : open_single_component(path);
  }
  for (const char* manifest : kManifests) {
    if (fs::exists(path / manifest)) return open_pipeline_folder(path, path / manifest);
  }
  OCTAVO_CHECK_FILE(fs::exists(path / "config.json"),
                    "{}: not a model: expected pipeline.json with a folder a component beside it, "
                    "or config.json with *.safetensors (one component)",
                    path.string());
  return open_single_component(path);
}

}  // namespace octavo
