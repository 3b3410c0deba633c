#pragma once
// A quantized model in one safetensors file. Tensors are named "component/checkpoint name"; a
// quantized layer stores "<layer>.weight" as codes (formats under 8 bits as packed U8 rows),
// "<layer>.weight_scale", optionally "<layer>.weight_zero_point" and "<layer>.input_scale".
// The metadata key "octavo" holds the manifest as JSON; unknown fields are skipped, so new files
// stay readable (docs/quantization.md has the format).
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/safetensors.h"
#include "io/weights.h"

namespace octavo {

struct ArtifactManifest {
  static constexpr int kFormatVersion = 1;
  int format_version = kFormatVersion;
  std::string tool_version, recipe, stats_hash, source_hash;
  std::string pipeline_json;                         // pipeline.json, verbatim
  std::map<std::string, std::string> configs;        // component -> config.json, verbatim
  std::map<std::string, Scheme> schemes;             // "component/layer" -> scheme
  std::map<std::string, Shape> shapes;               // logical shape of each quantized weight
  std::map<std::string, std::vector<std::string>> prompts;  // "known", "novel"
  std::string to_json() const;
  // Error{bad_file} names file, key, found, expected; newer format versions are refused.
  static ArtifactManifest parse(std::string_view json, const std::string& where);
};

class Artifact {
 public:
  // Validates the manifest against the tensors: every scheme has codes, scales of the right shape
  // and type, finite positive scales, no tensor unaccounted for.
  static std::shared_ptr<const Artifact> open(const std::filesystem::path& path);
  const ArtifactManifest& manifest() const { return manifest_; }
  std::vector<std::string> components() const;
  std::shared_ptr<const WeightStore> weights(const std::string& component) const;
  const std::filesystem::path& path() const { return file_->path(); }

 private:
  std::shared_ptr<const SafetensorsFile> file_;
  ArtifactManifest manifest_;
};

}  // namespace octavo
