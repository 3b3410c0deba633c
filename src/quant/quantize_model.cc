#include "quant/quantize_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/glob.h"
#include "base/progress.h"
#include "octavo/version.h"
#include "quant/layer_plan.h"

namespace octavo {
namespace {

// Codes of fewer than 8 bits lie as rows of the weight's matrix, whatever its shape.
Tensor matrix_rows(const Tensor& codes) {
  if (info(codes.dtype()).bits >= 8 || codes.rank() == 2) return codes;
  const auto [rows, cols] = matrix_extents(codes.shape(), MatrixView::weight);
  return codes.to(DType::f32).reshaped({rows, cols}).to(codes.dtype());
}

// How the layer will be stored, known before it is solved.
LayerForm form_of(const LayerPlan& plan) {
  LayerForm form;
  form.scheme = plan.scheme;
  form.shape = plan.weight_shape;
  form.steps = plan.scales.steps.has_data() ? plan.scales.steps.elements() : 0;
  form.rank = plan.how.low_rank;
  form.rotation = plan.input.rotation;
  form.shift = plan.input.shift.has_data();
  form.multiplier = plan.input.multiplier.has_data();
  form.bias = replaces_bias(plan.how);
  form.two_of_four = stores_two_of_four(plan.how, plan.scheme);
  return form;
}

const Tensor& scale_of(const QuantizedAttention& attention, const std::string& name) {
  return name.ends_with(".q_scale")   ? attention.q_scale
         : name.ends_with(".k_scale") ? attention.k_scale
                                      : attention.v_scale;
}

// A tensor of the artifact that is copied as it is.
struct Kept {
  TensorDecl decl;
  std::string component, name;
};

class ArtifactBuilder {
 public:
  ArtifactBuilder(const ModelSource& model, const ModelPlan& plan) : model_(model), plan_(plan) {
    for (const std::string& component : model.components()) {
      stores_[component] = model.weights(component);
      list_kept(component);
    }
    sort_kept();
  }

  void write(const std::filesystem::path& output, const ArtifactManifest& manifest) const {
    SafetensorsWriter writer(output, declarations(),
                             {{Artifact::kMetadataKey, manifest.to_json()}});
    Progress progress("quantize", static_cast<int64_t>(kept_.size() + plan_.layers.size()),
                      "tensors");
    for (const Kept& kept : kept_) {
      const WeightStore& store = *stores_.at(kept.component);
      check_finite(store, kept.name);
      writer.write(kept.decl.name, store.tensor(kept.name));
      store.release(kept.name);
      progress.step();
    }
    for (const auto& [layer, plan] : plan_.layers) {
      write_layer(writer, layer, plan);
      progress.step();
    }
    for (const auto& [module, attention] : plan_.attentions) {
      for (const TensorDecl& decl : attention_tensors(module, attention.scheme)) {
        writer.write(decl.name, scale_of(attention, decl.name));
      }
    }
    progress.finish();
    writer.finish();
  }

 private:
  // Everything but what quantized layers bring themselves and what the family never reads.
  void list_kept(const std::string& component) {
    const Family& family = find_family(model_.config(component));
    const WeightStore& store = *stores_.at(component);
    for (const std::string& name : store.names()) {
      const bool ignorable =
          std::any_of(family.ignorable.begin(), family.ignorable.end(),
                      [&](const char* pattern) { return glob_match(pattern, name); });
      const std::string full = component + "/" + name;
      const size_t dot = full.rfind('.');
      const auto found = plan_.layers.find(full.substr(0, dot));
      const bool replaced = dot != full.npos && found != plan_.layers.end() &&
                            (full.substr(dot) == ".weight" ||
                             (full.substr(dot) == ".bias" && replaces_bias(found->second.how)));
      if (ignorable || replaced) continue;
      const TensorType type = store.type(name);
      kept_.push_back({{full, type.dtype, type.shape}, component, name});
    }
  }

  void sort_kept() {
    std::vector<TensorDecl> decls;
    for (const Kept& kept : kept_) decls.push_back(kept.decl);
    sort_for_safetensors(decls);
    std::map<std::string, size_t> place;
    for (size_t i = 0; i < decls.size(); ++i) place[decls[i].name] = i;
    std::sort(kept_.begin(), kept_.end(), [&](const Kept& a, const Kept& b) {
      return place.at(a.decl.name) < place.at(b.decl.name);
    });
  }

  // Layer by layer, so that one pass over the source is enough.
  std::vector<TensorDecl> declarations() const {
    std::vector<TensorDecl> decls;
    for (const Kept& kept : kept_) decls.push_back(kept.decl);
    for (const auto& [layer, plan] : plan_.layers) {
      for (TensorDecl& decl : layer_tensors(layer, form_of(plan))) {
        decls.push_back(std::move(decl));
      }
    }
    for (const auto& [module, attention] : plan_.attentions) {
      for (TensorDecl& decl : attention_tensors(module, attention.scheme)) {
        decls.push_back(std::move(decl));
      }
    }
    return decls;
  }

  void write_layer(SafetensorsWriter& writer, const std::string& layer,
                   const LayerPlan& plan) const {
    const WeightStore& store = *stores_.at(layer.substr(0, layer.find('/')));
    const QuantizedLayer solved = solve_planned(plan_, layer, store);
    for (const TensorDecl& decl : layer_tensors(layer, form_of(plan))) {
      const Tensor part = matrix_rows(layer_tensor(solved, decl.name));
      writer.write(decl.name, part.data(), part.bytes());
    }
  }

  const ModelSource& model_;
  const ModelPlan& plan_;
  std::map<std::string, std::shared_ptr<const WeightStore>> stores_;
  std::vector<Kept> kept_;
};

ArtifactManifest make_manifest(const ModelSource& model, const Recipe& recipe,
                               const ModelPlan& plan, const Stats* stats) {
  ArtifactManifest manifest;
  manifest.tool_version = OCTAVO_VERSION;
  manifest.recipe = recipe.text();
  if (plan.uses_stats) manifest.stats_hash = stats->hash();
  manifest.source_hash = model.hash();
  manifest.pipeline_json = model.pipeline().json().dump();
  for (const std::string& component : model.components()) {
    manifest.configs[component] = model.config(component).json().dump();
  }
  for (const auto& [layer, layer_plan] : plan.layers) {
    manifest.layers[layer] = form_of(layer_plan);
  }
  for (const auto& [module, attention] : plan.attentions) {
    manifest.attentions[module] = attention.scheme;
  }
  manifest.format_version = manifest.needed_version();
  for (const char* set : {"known", "novel"}) manifest.prompts[set] = model.prompts(set);
  return manifest;
}

}  // namespace

Coverage quantize_model(const std::shared_ptr<const ModelSource>& model, const Recipe& recipe,
                        const Stats* stats, const std::filesystem::path& output) {
  // Not owned: it is not needed any longer than this function.
  const std::shared_ptr<const Stats> borrowed(std::shared_ptr<void>(), stats);
  ModelPlan plan = plan_layers(recipe, *model, borrowed);
  const ArtifactBuilder builder(*model, plan);
  builder.write(output, make_manifest(*model, recipe, plan, stats));
  return std::move(plan.coverage);
}

}  // namespace octavo
