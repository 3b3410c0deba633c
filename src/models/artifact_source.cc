// A model that `octavo quantize` wrote: one safetensors file with configs and prompts inside.
#include "base/check.h"
#include "base/text.h"
#include "io/artifact.h"
#include "models/model_source.h"
#include "models/models.h"

namespace octavo {
namespace {

class ArtifactSource : public ModelSource {
 public:
  explicit ArtifactSource(const std::filesystem::path& path) : artifact_(Artifact::open(path)) {}

  std::string where() const override { return artifact_->path().string(); }
  std::vector<std::string> components() const override { return artifact_->components(); }
  std::string hash() const override { return artifact_->hash(); }
  std::string recipe() const override { return artifact_->manifest().recipe; }

  Config pipeline() const override {
    const std::string& text = artifact_->manifest().pipeline_json;
    return Config::parse(text.empty() ? "{}" : text, where() + ": pipeline.json");
  }

  Config config(const std::string& component) const override {
    const auto& configs = artifact_->manifest().configs;
    const auto found = configs.find(component);
    if (found == configs.end()) {
      OCTAVO_FAIL(invalid_argument, "{}: no component \"{}\"; it has: {}", where(),
                  printable(component), fmt::join(components(), ", "));
    }
    return Config::parse(found->second, fmt::format("{}: {}/config.json", where(), component));
  }

  std::shared_ptr<const WeightStore> weights(const std::string& component) const override {
    const Config config = this->config(component);
    std::shared_ptr<const WeightStore> weights = artifact_->weights(component);
    check_weights(find_family(config), config, *weights);
    return weights;
  }

  std::vector<std::string> prompts(const std::string& set) const override {
    const auto& sets = artifact_->manifest().prompts;
    const auto found = sets.find(set);
    return found == sets.end() ? std::vector<std::string>() : found->second;
  }

 private:
  std::shared_ptr<const Artifact> artifact_;
};

}  // namespace

std::shared_ptr<const ModelSource> open_artifact(const std::filesystem::path& path) {
  return std::make_shared<ArtifactSource>(path);
}

}  // namespace octavo
