#pragma once
// A quantized model in one safetensors file. Tensors are named "component/checkpoint name"; a
// quantized layer stores "<layer>.weight" as codes, ".weight_scale", optionally
// ".weight_tensor_scale", ".weight_zero_point", ".input_scale", ".input_steps", ".input_shift",
// ".input_multiplier", ".low_rank_down", ".low_rank_up", and ".bias" in place of the checkpoint's;
// a quantized attention "<module>.q_scale", ".k_scale" and ".v_scale" where they are static. The
// metadata key "octavo" holds the manifest as JSON; unknown fields are skipped, so new files stay
// readable (docs/quantization.md has the format).
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "io/weights.h"

namespace octavo {

// How one layer is stored.
struct LayerForm {
  static constexpr int64_t kMaxSteps = 1 << 16;
  Scheme scheme;
  Shape shape;           // of the weight
  int64_t steps = 0;     // of a static input that has a scale for each; 0: one for all
  int64_t rank = 0;      // of the low-rank branch; 0: none
  int64_t rotation = 0;  // block of the input's Hadamard transform; 0: none
  bool shift = false, multiplier = false;  // of the input
  bool bias = false;                       // its own, instead of the checkpoint's or of none
  bool two_of_four = false;                // the codes (tensor/two_of_four.h)
  bool operator==(const LayerForm&) const = default;

  static LayerForm of(const QuantizedLayer& layer);
  // Whether it is more than a scheme.
  bool is_plain() const { return *this == LayerForm{scheme, shape}; }
};

struct ArtifactManifest {
  // 2: some attention is quantized, some layer is more than a scheme, or of a format or scale that
  // came later.
  static constexpr int kFormatVersion = 2;
  int format_version = 1;
  std::string tool_version, recipe, stats_hash, source_hash;
  std::string pipeline_json;                                // pipeline.json
  std::map<std::string, std::string> configs;               // component -> config.json
  std::map<std::string, LayerForm> layers;                  // by "component/layer"
  std::map<std::string, AttentionScheme> attentions;        // "component/module" -> scheme
  std::map<std::string, std::vector<std::string>> prompts;  // "known", "novel"
  bool operator==(const ArtifactManifest&) const = default;

  // The least format_version that says all this.
  int needed_version() const;
  // Error{invalid_argument} for text that is not UTF-8.
  std::string to_json() const;
  // Error{bad_file} names file, key, found, expected; newer format versions are refused.
  static ArtifactManifest parse(std::string_view json, const std::string& where);
};

// The tensors of one quantized layer ("component/layer") in the order in which they are written:
// codes of 8 bits in the weight's shape, codes of fewer bits as u8 [rows, bytes of a packed row] of
// the weight's matrix view, of 2:4 sparse codes the kept ones beside weight_sparse_indices
// (tensor/two_of_four.h); scale and zero point [row tiles, column tiles]; input_scale f32 [1, 1]
// or [steps, 1], input_steps f32 [steps]; input_shift and input_multiplier f32 [in]; low_rank_down
// bf16 [rank, in], low_rank_up bf16 [out, rank]; bias f32 [out]. Error when the form cannot be: the
// shape is no weight's, a group or a rotation does not divide it, a static activation has tiles.
std::vector<TensorDecl> layer_tensors(const std::string& layer, const LayerForm& form);
// The part of a layer that one of its tensors holds, by the tensor's name; the weight's codes are
// as they are, not packed.
Tensor layer_tensor(const QuantizedLayer& layer, const std::string& name);

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
