#pragma once
// A quantized model in one safetensors file. Tensors are named "component/checkpoint name"; a
// quantized layer stores "<layer>.weight" as codes, "<layer>.weight_scale", optionally
// "<layer>.weight_zero_point" and "<layer>.input_scale", a quantized attention "<module>.q_scale",
// ".k_scale" and ".v_scale" where they are static. The metadata key "octavo" holds the manifest as
// JSON; unknown fields are skipped, so new files stay readable (docs/quantization.md
// has the format).
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "io/weights.h"

namespace octavo {

struct ArtifactManifest {
  // 2: some attention is quantized.
  static constexpr int kFormatVersion = 2;
  int format_version = 1;
  std::string tool_version, recipe, stats_hash, source_hash;
  std::string pipeline_json;                          // pipeline.json
  std::map<std::string, std::string> configs;         // component -> config.json
  std::map<std::string, Scheme> schemes;              // "component/layer" -> scheme
  std::map<std::string, Shape> shapes;                // logical shape of each quantized weight
  std::map<std::string, AttentionScheme> attentions;  // "component/module" -> scheme
  std::map<std::string, std::vector<std::string>> prompts;  // "known", "novel"
  bool operator==(const ArtifactManifest&) const = default;

  // Error{invalid_argument} for text that is not UTF-8.
  std::string to_json() const;
  // Error{bad_file} names file, key, found, expected; newer format versions are refused.
  static ArtifactManifest parse(std::string_view json, const std::string& where);
};

// The tensors of one quantized layer ("component/layer") in the order in which they are written:
// codes of 8 bits in the weight's shape, codes of fewer bits as u8 [rows, bytes of a packed row] of
// the weight's matrix view; scale and zero point [row tiles, column tiles]; input_scale f32 [1, 1].
// Error when the shape is no weight's, a group does not divide it, or a static activation has
// tiles.
std::vector<TensorDecl> layer_tensors(const std::string& layer, const Scheme& scheme,
                                      const Shape& shape);

// The tensors of one quantized attention ("component/module"): f32 [1, 1] each.
std::vector<TensorDecl> attention_tensors(const std::string& module, const AttentionScheme& scheme);

class Artifact {
 public:
  static constexpr const char* kMetadataKey = "octavo";

  // Validates the manifest against the tensors: every scheme has codes, scales of the right shape
  // and type, finite positive scales, whole zero points on the codes' grid, no tensor without a
  // component.
  static std::shared_ptr<const Artifact> open(const std::filesystem::path& path);
  const ArtifactManifest& manifest() const { return manifest_; }
  std::vector<std::string> components() const;
  // Outlives the Artifact. tensor() of a quantized weight gives its dequantized values in f32.
  std::shared_ptr<const WeightStore> weights(const std::string& component) const;
  const std::filesystem::path& path() const { return file_->path(); }
  std::string hash() const;  // of manifest and tensors, hex

 private:
  std::shared_ptr<const SafetensorsFile> file_;
  ArtifactManifest manifest_;
};

}  // namespace octavo
