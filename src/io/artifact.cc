#include "io/artifact.h"

#include <set>

#include "base/check.h"
#include "base/hash.h"
#include "base/text.h"
#include "io/artifact_layers.h"
#include "tensor/quantize.h"

namespace octavo {
namespace {

constexpr std::string_view kWeight = ".weight", kBias = ".bias";

// Operands whose scales are given, by the name of the scale's tensor.
struct AttentionScale {
  const char* suffix;
  QuantSpec AttentionScheme::*spec;
  Tensor QuantizedAttention::*scale;
};
constexpr AttentionScale kAttentionScales[] = {
    {".q_scale", &AttentionScheme::q, &QuantizedAttention::q_scale},
    {".k_scale", &AttentionScheme::k, &QuantizedAttention::k_scale},
    {".v_scale", &AttentionScheme::v, &QuantizedAttention::v_scale}};

// The tensors of one component. Parts of a quantized layer other than its weight are hidden.
class ArtifactStore : public WeightStore {
 public:
  ArtifactStore(std::shared_ptr<const SafetensorsFile> file, const ArtifactManifest& manifest,
                const std::string& component)
      : file_(std::move(file)), prefix_(component + "/") {
    std::set<std::string> parts;
    for (const auto& [layer, form] : manifest.layers) {
      if (!layer.starts_with(prefix_)) continue;
      layers_[layer] = form;
      for (const TensorDecl& decl : layer_tensors(layer, form)) {
        if (!decl.name.ends_with(kWeight) && !decl.name.ends_with(kBias)) parts.insert(decl.name);
      }
    }
    for (const auto& [module, scheme] : manifest.attentions) {
      if (!module.starts_with(prefix_)) continue;
      attentions_[module] = scheme;
      for (const TensorDecl& decl : attention_tensors(module, scheme)) parts.insert(decl.name);
    }
    for (const auto& [name, entry] : file_->entries()) {
      if (name.starts_with(prefix_) && parts.count(name) == 0) {
        names_.insert(name.substr(prefix_.size()));
      }
    }
  }

  std::vector<std::string> names() const override { return {names_.begin(), names_.end()}; }
  bool contains(const std::string& name) const override { return names_.count(name) != 0; }
  std::string where(const std::string&) const override { return file_->path().string(); }

  TensorType type(const std::string& name) const override {
    if (const LayerForm* layer = quantized_weight(name)) return {DType::f32, layer->shape};
    const SafetensorsEntry& entry = file_->entry(stored_name(name));
    return {entry.dtype, entry.shape};
  }

  Tensor tensor(const std::string& name) const override {
    if (quantized_weight(name) == nullptr) return file_->tensor(stored_name(name));
    return dequantize(quantized(layer_of(name))->weight, MatrixView::weight);
  }

  void release(const std::string& name) const override { file_->release(stored_name(name)); }

  std::optional<QuantizedLayer> quantized(const std::string& layer) const override {
    const auto found = layers_.find(prefix_ + layer);
    if (found == layers_.end()) return std::nullopt;
    return load_layer(*file_, found->first, found->second);
  }

  std::optional<QuantizedAttention> attention(const std::string& module) const override {
    const auto found = attentions_.find(prefix_ + module);
    if (found == attentions_.end()) return std::nullopt;
    QuantizedAttention result{found->second, {}, {}, {}};
    for (const AttentionScale& part : kAttentionScales) {
      const std::string name = found->first + part.suffix;
      if (file_->contains(name)) result.*part.scale = file_->tensor(name);
    }
    return result;
  }

 private:
  static std::string layer_of(const std::string& weight) {
    return weight.substr(0, weight.size() - kWeight.size());
  }

  const LayerForm* quantized_weight(const std::string& name) const {
    if (!name.ends_with(kWeight)) return nullptr;
    const auto found = layers_.find(prefix_ + layer_of(name));
    return found == layers_.end() ? nullptr : &found->second;
  }

  std::string stored_name(const std::string& name) const {
    OCTAVO_CHECK_FILE(contains(name), "{}: no tensor \"{}\" in component {}",
                      file_->path().string(), printable(name),
                      prefix_.substr(0, prefix_.size() - 1));
    return prefix_ + name;
  }

  std::shared_ptr<const SafetensorsFile> file_;
  std::string prefix_;
  std::map<std::string, LayerForm> layers_;  // by full name
  std::map<std::string, AttentionScheme> attentions_;
  std::set<std::string> names_;
};

std::string component_of(const std::string& name) { return name.substr(0, name.find('/')); }

void check_component(const SafetensorsFile& file, const ArtifactManifest& manifest,
                     const std::string& layer) {
  OCTAVO_CHECK_FILE(
      manifest.configs.count(component_of(layer)) != 0 && layer.find('/') != layer.npos,
      "{}: quantized layer \"{}\" belongs to no component of the manifest", file.path().string(),
      printable(layer));
}

void check_attention(const SafetensorsFile& file, const ArtifactManifest& manifest,
                     const std::string& module, const AttentionScheme& scheme) {
  check_component(file, manifest, module);
  const std::string owner = fmt::format("attention \"{}\" is {}", printable(module), scheme.text());
  for (const TensorDecl& decl : attention_tensors(module, scheme)) {
    check_declared(file, decl, owner);
    check_scales(file, decl.name);
  }
}

}  // namespace

std::vector<TensorDecl> attention_tensors(const std::string& module,
                                          const AttentionScheme& scheme) {
  std::vector<TensorDecl> decls;
  for (const AttentionScale& part : kAttentionScales) {
    if ((scheme.*part.spec).timing != QuantSpec::Timing::static_) continue;
    decls.push_back({module + part.suffix, DType::f32, {1, 1}});
  }
  sort_for_safetensors(decls);
  return decls;
}

std::shared_ptr<const Artifact> Artifact::open(const std::filesystem::path& path) {
  auto artifact = std::make_shared<Artifact>();
  artifact->file_ = SafetensorsFile::open(path);
  const SafetensorsFile& file = *artifact->file_;
  const auto found = file.metadata().find(kMetadataKey);
  OCTAVO_CHECK_FILE(found != file.metadata().end(),
                    "{}: no metadata key \"{}\": this is a safetensors file, but not one that "
                    "`octavo quantize` wrote",
                    path.string(), kMetadataKey);
  artifact->manifest_ =
      ArtifactManifest::parse(found->second, path.string() + " (metadata \"octavo\")");
  const ArtifactManifest& manifest = artifact->manifest_;
  for (const auto& [layer, form] : manifest.layers) {
    check_component(file, manifest, layer);
    check_layer(file, layer, form);
  }
  for (const auto& [module, scheme] : manifest.attentions) {
    check_attention(file, manifest, module, scheme);
  }
  for (const auto& [name, entry] : file.entries()) {
    OCTAVO_CHECK_FILE(
        name.find('/') != name.npos && manifest.configs.count(component_of(name)) != 0,
        "{}: tensor \"{}\" belongs to no component of the manifest", path.string(),
        printable(name));
  }
  return artifact;
}

std::vector<std::string> Artifact::components() const {
  std::vector<std::string> names;
  for (const auto& [name, config] : manifest_.configs) names.push_back(name);
  return names;
}

std::shared_ptr<const WeightStore> Artifact::weights(const std::string& component) const {
  OCTAVO_CHECK(manifest_.configs.count(component) != 0, "{}: no component \"{}\"; it has {}",
               path().string(), printable(component), fmt::join(components(), ", "));
  return std::make_shared<ArtifactStore>(file_, manifest_, component);
}

std::string Artifact::hash() const {
  Hasher hasher;
  hasher.update(file_->metadata().at(kMetadataKey));
  for (const auto& [name, entry] : file_->entries()) {
    hasher.update(
        fmt::format("{} {} {}\n", name, octavo::name(entry.dtype), to_string(entry.shape)));
    const Tensor tensor = file_->tensor(name);
    hasher.update(tensor.data(), tensor.bytes());
    file_->release(name);
  }
  return hasher.hex();
}

}  // namespace octavo
