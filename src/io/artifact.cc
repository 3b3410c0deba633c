#include "io/artifact.h"

#include <cmath>
#include <set>

#include "base/check.h"
#include "base/hash.h"
#include "base/text.h"
#include "tensor/codec.h"
#include "tensor/quantize.h"

namespace octavo {
namespace {

enum class Part : uint8_t { weight, weight_scale, weight_zero_point, input_scale };
constexpr const char* kSuffixes[] = {".weight", ".weight_scale", ".weight_zero_point",
                                     ".input_scale"};

std::string part_name(const std::string& layer, Part part) {
  return layer + kSuffixes[static_cast<int>(part)];
}

DType code_type(const QuantSpec& spec) { return *find_dtype(spec.format); }

// Packed codes of a weight's matrix rows -> packed rows of its last axis, as a Tensor has them.
Tensor repack(const Tensor& packed, DType format, const Shape& shape) {
  const auto [rows, cols] = matrix_extents(shape, MatrixView::weight);
  const int bits = info(format).bits;
  const int64_t last = shape.back(), short_bytes = row_bytes(format, last);
  Tensor codes = Tensor::empty(format, shape);
  auto* out = static_cast<uint8_t*>(codes.mutable_data());
  std::vector<uint8_t> row(cols);
  for (int64_t r = 0; r < rows; ++r) {
    unpack_codes(bits, packed.as<uint8_t>() + r * row_bytes(format, cols), row.data(), cols);
    for (int64_t c = 0; c < cols; c += last, out += short_bytes) {
      pack_codes(bits, row.data() + c, out, last);
    }
  }
  return codes;
}

Tensor load_codes(const SafetensorsFile& file, const std::string& layer, const QuantSpec& spec,
                  const Shape& shape) {
  const Tensor stored = file.tensor(part_name(layer, Part::weight));
  const DType format = code_type(spec);
  if (info(format).bits == 8) return stored;
  if (shape.size() > 2) return repack(stored, format, shape);
  return Tensor::view(format, shape, stored.data(), std::make_shared<Tensor>(stored));
}

QuantizedLayer load_layer(const SafetensorsFile& file, const std::string& layer,
                          const Scheme& scheme, const Shape& shape) {
  QuantizedLayer result;
  result.weight.spec = scheme.weight;
  result.weight.codes = load_codes(file, layer, scheme.weight, shape);
  result.weight.scale = file.tensor(part_name(layer, Part::weight_scale));
  if (scheme.weight.zero_point) {
    result.weight.zero_point = file.tensor(part_name(layer, Part::weight_zero_point));
  }
  result.activation = scheme.activation;
  const std::string input_scale = part_name(layer, Part::input_scale);
  if (file.contains(input_scale)) result.input_scale = file.tensor(input_scale);
  return result;
}

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
    for (const auto& [layer, scheme] : manifest.schemes) {
      if (!layer.starts_with(prefix_)) continue;
      layers_[layer] = {scheme, manifest.shapes.at(layer)};
      for (const TensorDecl& decl : layer_tensors(layer, scheme, manifest.shapes.at(layer))) {
        parts.insert(decl.name);
      }
      parts.erase(part_name(layer, Part::weight));
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
    if (const Layer* layer = quantized_weight(name)) return {DType::f32, layer->shape};
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
    return load_layer(*file_, found->first, found->second.scheme, found->second.shape);
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
  struct Layer {
    Scheme scheme;
    Shape shape;
  };

  static std::string layer_of(const std::string& weight) {
    return weight.substr(0, weight.size() - std::string(kSuffixes[0]).size());
  }

  const Layer* quantized_weight(const std::string& name) const {
    if (!name.ends_with(kSuffixes[0])) return nullptr;
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
  std::map<std::string, Layer> layers_;  // by full name
  std::map<std::string, AttentionScheme> attentions_;
  std::set<std::string> names_;
};

std::string component_of(const std::string& name) { return name.substr(0, name.find('/')); }

void check_scales(const SafetensorsFile& file, const std::string& name) {
  const std::vector<float> values = file.tensor(name).to_floats();
  for (size_t i = 0; i < values.size(); ++i) {
    OCTAVO_CHECK_FILE(std::isfinite(values[i]) && values[i] > 0,
                      "{}: scale {} of tensor \"{}\" is {}; expected a finite number above 0",
                      file.path().string(), i, printable(name), values[i]);
  }
}

void check_zero_points(const SafetensorsFile& file, const std::string& name, DType format) {
  const float half = static_cast<float>(1 << (info(format).bits - 1));
  const std::vector<float> values = file.tensor(name).to_floats();
  for (size_t i = 0; i < values.size(); ++i) {
    OCTAVO_CHECK_FILE(
        values[i] >= -half && values[i] < half && values[i] == std::floor(values[i]),
        "{}: zero point {} of tensor \"{}\" is {}; expected a whole number from {} to "
        "{}",
        file.path().string(), i, printable(name), values[i], -half, half - 1);
  }
}

std::vector<TensorDecl> part_decls(const std::string& layer, const Scheme& scheme,
                                   const Shape& shape) {
  constexpr int64_t kMaxElements = int64_t{1} << 48;
  OCTAVO_CHECK(shape.size() >= 2 && element_count(shape) <= kMaxElements,
               "a weight has two or more axes and at most 2^48 elements, not {}", to_string(shape));
  const auto [rows, cols] = matrix_extents(shape, MatrixView::weight);
  const QuantSpec& w = scheme.weight;
  const Shape scales = w.scale_shape(rows, cols);
  std::vector<TensorDecl> decls{
      {part_name(layer, Part::weight_scale), *find_dtype(w.scale), scales}};
  if (w.zero_point) {
    decls.push_back({part_name(layer, Part::weight_zero_point), DType::f32, scales});
  }
  if (scheme.activation && scheme.activation->timing == QuantSpec::Timing::static_) {
    OCTAVO_CHECK(scheme.activation->tile_rows == 0 && scheme.activation->tile_cols == 0,
                 "static activation {} has tiles; one scale a tensor (*x*) is stored",
                 scheme.activation->text());
    decls.push_back({part_name(layer, Part::input_scale), DType::f32, {1, 1}});
  }
  const DType format = code_type(w);
  const bool packed = info(format).bits < 8;
  decls.push_back({part_name(layer, Part::weight), packed ? DType::u8 : format,
                   packed ? Shape{rows, row_bytes(format, cols)} : shape});
  return decls;
}

void check_component(const SafetensorsFile& file, const ArtifactManifest& manifest,
                     const std::string& layer) {
  OCTAVO_CHECK_FILE(
      manifest.configs.count(component_of(layer)) != 0 && layer.find('/') != layer.npos,
      "{}: quantized layer \"{}\" belongs to no component of the manifest", file.path().string(),
      printable(layer));
}

void check_attention(const SafetensorsFile& file, const ArtifactManifest& manifest,
                     const std::string& module, const AttentionScheme& scheme) {
  const std::string where = file.path().string();
  check_component(file, manifest, module);
  for (const TensorDecl& decl : attention_tensors(module, scheme)) {
    OCTAVO_CHECK_FILE(file.contains(decl.name),
                      "{}: tensor \"{}\" is missing; attention \"{}\" is {} in the manifest", where,
                      printable(decl.name), printable(module), scheme.text());
    const SafetensorsEntry& entry = file.entry(decl.name);
    OCTAVO_CHECK_FILE(entry.dtype == decl.dtype && entry.shape == decl.shape,
                      "{}: tensor \"{}\" is {} {}; expected {} {}", where, printable(decl.name),
                      name(entry.dtype), to_string(entry.shape), name(decl.dtype),
                      to_string(decl.shape));
    check_scales(file, decl.name);
  }
}

void check_layer(const SafetensorsFile& file, const ArtifactManifest& manifest,
                 const std::string& layer, const Scheme& scheme) {
  const std::string where = file.path().string();
  check_component(file, manifest, layer);
  std::vector<TensorDecl> decls;
  try {
    decls = layer_tensors(layer, scheme, manifest.shapes.at(layer));
  } catch (const Error& error) {
    OCTAVO_FAIL(bad_file, "{}: {}", where, error.what());
  }
  for (const TensorDecl& decl : decls) {
    OCTAVO_CHECK_FILE(file.contains(decl.name),
                      "{}: tensor \"{}\" is missing; layer \"{}\" is {} in the manifest", where,
                      printable(decl.name), printable(layer), scheme.text());
    const SafetensorsEntry& entry = file.entry(decl.name);
    OCTAVO_CHECK_FILE(entry.dtype == decl.dtype && entry.shape == decl.shape,
                      "{}: tensor \"{}\" is {} {}; {} of a weight {} needs {} {}", where,
                      printable(decl.name), name(entry.dtype), to_string(entry.shape),
                      scheme.text(), to_string(manifest.shapes.at(layer)), name(decl.dtype),
                      to_string(decl.shape));
    if (decl.name.ends_with("_scale")) check_scales(file, decl.name);
    if (decl.name == part_name(layer, Part::weight_zero_point)) {
      check_zero_points(file, decl.name, code_type(scheme.weight));
    }
  }
}

}  // namespace

std::vector<TensorDecl> layer_tensors(const std::string& layer, const Scheme& scheme,
                                      const Shape& shape) {
  try {
    std::vector<TensorDecl> decls = part_decls(layer, scheme, shape);
    sort_for_safetensors(decls);
    return decls;
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("layer \"{}\": {}", printable(layer), error.what()));
  }
}

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
  for (const auto& [layer, scheme] : manifest.schemes) check_layer(file, manifest, layer, scheme);
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
