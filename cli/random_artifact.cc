#include "random_artifact.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "bench_random.h"
#include "io/artifact.h"
#include "octavo/version.h"

namespace octavo::cli {
namespace {

constexpr std::string_view kWeight = ".weight";

// The tensors of one component, those of quantized layers last.
class RandomArtifact {
 public:
  RandomArtifact(const WeightStore& store, const Family& family, const Config& config)
      : store_(store), prefix_(std::string(family.role) + "/") {
    manifest_.tool_version = OCTAVO_VERSION;
    manifest_.recipe = "random weights";
    manifest_.source_hash = "none";
    manifest_.pipeline_json = "{}";
    manifest_.configs[family.role] = config.json().dump();
    for (const std::string& name : store.names()) add(name);
    add_attentions(quantizable_attentions(family.build(config, nullptr, family.methods.front())));
    sort_for_safetensors(kept_);
    manifest_.format_version = manifest_.needed_version();
  }

  void write(const std::filesystem::path& output) const {
    SafetensorsWriter writer(output, declarations(),
                             {{Artifact::kMetadataKey, manifest_.to_json()}});
    for (const TensorDecl& decl : kept_) {
      writer.write(decl.name, store_.tensor(decl.name.substr(prefix_.size())));
    }
    for (const auto& [layer, form] : manifest_.layers) {
      const QuantizedLayer quantized = *store_.quantized(layer.substr(prefix_.size()));
      for (const TensorDecl& decl : layer_tensors(layer, form)) {
        const Tensor part = layer_tensor(quantized, decl.name);
        OCTAVO_ASSERT(info(part.dtype()).bits >= 8 || part.rank() == 2);
        writer.write(decl.name, part.data(), part.bytes());
      }
    }
    for (const auto& [name, scale] : scales_) writer.write(name, scale);
    writer.finish();
  }

 private:
  void add(const std::string& name) {
    if (name.ends_with(kWeight)) {
      const std::string layer = name.substr(0, name.size() - kWeight.size());
      if (const auto quantized = store_.quantized(layer)) {
        manifest_.layers[prefix_ + layer] = LayerForm::of(*quantized);
        return;
      }
    }
    const TensorType type = store_.type(name);
    kept_.push_back({prefix_ + name, type.dtype, type.shape});
  }

  void add_attentions(const std::vector<QuantizableAttention>& attentions) {
    for (const QuantizableAttention& attention : attentions) {
      const auto quantized = store_.attention(attention.name);
      if (!quantized) continue;
      const std::string name = prefix_ + attention.name;
      manifest_.attentions[name] = quantized->scheme;
      for (const auto& [suffix, scale] :
           {std::pair{".q_scale", &quantized->q_scale}, std::pair{".k_scale", &quantized->k_scale},
            std::pair{".v_scale", &quantized->v_scale}}) {
        if (scale->has_data()) scales_.emplace_back(name + suffix, *scale);
      }
    }
  }

  std::vector<TensorDecl> declarations() const {
    std::vector<TensorDecl> decls = kept_;
    for (const auto& [layer, form] : manifest_.layers) {
      for (TensorDecl& decl : layer_tensors(layer, form)) decls.push_back(std::move(decl));
    }
    for (const auto& [name, scale] : scales_) {
      decls.push_back({name, scale.dtype(), scale.shape()});
    }
    return decls;
  }

  const WeightStore& store_;
  const std::string prefix_;
  ArtifactManifest manifest_;
  std::vector<TensorDecl> kept_;                        // what is not quantized
  std::vector<std::pair<std::string, Tensor>> scales_;  // of attentions
};

}  // namespace

void write_random_artifact(const std::string& model, const std::string& precision,
                           const std::filesystem::path& output) {
  const Config config = known_config(model);
  const Family& family = find_family(config);
  const RandomArithmetic arithmetic = read_precision(precision, "");
  OCTAVO_CHECK(arithmetic.scheme, "an artifact is quantized: --precision {} is no scheme",
               precision);
  const RandomStore store(family, config, DType::bf16, arithmetic.scheme, arithmetic.attention);
  RandomArtifact(store, family, config).write(output);
}

}  // namespace octavo::cli
