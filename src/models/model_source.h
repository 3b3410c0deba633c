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
  virtual std::string where() const = 0;  // path as the user gave it
  virtual std::vector<std::string> components() const = 0;  // "transformer", "vae", "text_encoder"
  virtual Config pipeline() const = 0;    // pipeline.json
  virtual Config config(const std::string& component) const = 0;
  // In diffusers'/transformers' names (layouts adapted), checked against the family.
  virtual std::shared_ptr<const WeightStore> weights(const std::string& component) const = 0;
  // Prompts that come with the model: "known" (seen in training) and "novel"; empty when none.
  virtual std::vector<std::string> prompts(const std::string& set) const = 0;
  virtual std::string hash() const = 0;   // of configs and all tensors' bytes; hex
  // The recipe and stats hash that made an artifact; empty for folders.
  virtual std::string recipe() const { return {}; }
};

// Error{io|bad_file} says what a model folder or artifact must hold and what is missing.
std::shared_ptr<const ModelSource> open_model(const std::filesystem::path& path);
// A folder of one component alone (config.json + safetensors) for `octavo run`.
struct ComponentSource {
  Config config;
  std::shared_ptr<const WeightStore> weights;
};
ComponentSource open_component(const std::filesystem::path& folder);

}  // namespace octavo
