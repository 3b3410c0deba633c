#pragma once
// A pipeline on disk: a folder with pipeline.json (or one component's folder), or an artifact.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/weights.h"

namespace octavo {

class ModelSource {
 public:
  virtual ~ModelSource() = default;
  virtual std::string where() const = 0;                    // path as the user gave it
  virtual std::vector<std::string> components() const = 0;  // "transformer", "vae", "text_encoder"
  // pipeline.json, or diffusers' model_index.json; empty for one component alone.
  virtual Config pipeline() const = 0;
  virtual Config config(const std::string& component) const = 0;
  // In diffusers'/transformers' names (layouts adapted), checked against the family.
  virtual std::shared_ptr<const WeightStore> weights(const std::string& component) const = 0;
  // Prompts that come with the model: "known" (seen in training) and "novel"; empty when none.
  virtual std::vector<std::string> prompts(const std::string& set) const = 0;
  virtual std::string hash() const = 0;  // of configs and all tensors' bytes; hex
  // The recipe and stats hash that made an artifact; empty for folders.
  virtual std::string recipe() const { return {}; }
};

// A folder with pipeline.json and a folder a component; a diffusers pipeline (model_index.json;
// parts of other classes are left out with a warning); one component, as open_component() takes it;
// an artifact. Error{io|bad_file} says what a model folder or artifact must hold and what is
// missing.
std::shared_ptr<const ModelSource> open_model(const std::filesystem::path& path);

// What `octavo quantize` wrote.
std::shared_ptr<const ModelSource> open_artifact(const std::filesystem::path& path);

// A folder of one component alone (config.json + safetensors), or its safetensors file. Without
// config.json only Flux can be told from its weights. Adapted and checked like
// ModelSource::weights().
struct ComponentSource {
  Config config;
  std::shared_ptr<const WeightStore> weights;
};
ComponentSource open_component(const std::filesystem::path& path);

}  // namespace octavo
