#include "quant/explain/explain.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/hash.h"
#include "base/progress.h"
#include "io/artifact.h"
#include "quant/explain/word_gains.h"
#include "quant/mixed_model.h"
#include "quant/search/measurements.h"
#include "tensor/quantize.h"

namespace octavo {
namespace {

constexpr double kOutlier = 8;  // times the median of the channels

std::pair<std::string, std::string> split_name(const std::string& layer) {
  const size_t slash = layer.find('/');
  return {layer.substr(0, slash), layer.substr(slash + 1)};
}

class Explainer {
 public:
  explicit Explainer(const ExplainOptions& options)
      : o_(options), file_(open(options.artifact)), manifest_(file_->manifest()) {
    check_inputs();
    result_.artifact = o_.artifact.string();
    result_.recipe = manifest_.recipe;
    result_.tool_version = manifest_.tool_version;
    result_.other_stats =
        o_.stats && !manifest_.stats_hash.empty() && o_.stats->hash() != manifest_.stats_hash;
    if (o_.stats) timesteps_ = schedule_timesteps(*o_.stats);
  }

  Explanation run() {
    const Recipe recipe = Recipe::parse(manifest_.recipe, "the artifact's recipe");
    Progress progress("explain", static_cast<int64_t>(manifest_.layers.size()), "layers");
    for (const auto& [name, form] : manifest_.layers) {
      result_.layers.push_back(explain_layer(name, form, recipe.match(name)));
      progress.step();
    }
    progress.finish();
    for (const auto& [name, scheme] : manifest_.attentions) {
      result_.attentions.emplace_back(name, scheme.text());
    }
    if (o_.prompts.empty()) {
      estimate_shares();
    } else {
      measure_shares();
    }
    std::stable_sort(result_.layers.begin(), result_.layers.end(),
                     [](const ExplainedLayer& a, const ExplainedLayer& b) {
                       return a.share.value_or(0) > b.share.value_or(0);
                     });
    return std::move(result_);
  }

 private:
  static std::shared_ptr<const Artifact> open(const std::filesystem::path& path) {
    OCTAVO_CHECK(!std::filesystem::is_directory(path),
                 "{} is a model folder; explain takes a file that octavo quantize wrote",
                 path.string());
    return Artifact::open(path);
  }

  void check_inputs() const {
    const std::string where = o_.artifact.string();
    OCTAVO_CHECK(!o_.reference || o_.reference->hash() == manifest_.source_hash,
                 "{} was made from a model with hash {}, {} has hash {}; name the model that it "
                 "was made from",
                 where, manifest_.source_hash, o_.reference->where(), o_.reference->hash());
    OCTAVO_CHECK(!o_.stats || o_.stats->model_hash == manifest_.source_hash,
                 "the statistics are of a model with hash {}, {} was made from one with hash {}",
                 o_.stats->model_hash, where, manifest_.source_hash);
    OCTAVO_CHECK(o_.prompts.empty() || o_.reference,
                 "layers' parts in the error are measured against the model that {} was made "
                 "from; name it with --reference",
                 where);
  }

  ExplainedLayer explain_layer(const std::string& name, const LayerForm& form,
                               const RecipeRule* rule) const {
    const auto [component, layer] = split_name(name);
    const auto solved = file_->weights(component)->quantized(layer);
    OCTAVO_ASSERT(solved.has_value());
    ExplainedLayer row;
    row.name = name;
    row.scheme = form.scheme.text();
    if (rule != nullptr) row.words = rule->how.text();
    row.parameters = static_cast<double>(element_count(form.shape));
    row.bits = stored_bits(name, form) / row.parameters;
    const bool known = o_.stats && o_.stats->has(name);
    if (known) describe_input(*solved, row);
    if (o_.reference) compare(*solved, known, component, layer, row);
    const bool linear = form.shape.size() == 2;
    if (o_.words && o_.reference && known && linear && rule != nullptr) {
      row.gains = word_gains(o_.reference, o_.stats, name, form.scheme, rule->how);
    }
    return row;
  }

  static double stored_bits(const std::string& name, const LayerForm& form) {
    double bits = 0;
    for (const TensorDecl& decl : layer_tensors(name, form)) {
      if (decl.name == name + ".bias") continue;
      bits += static_cast<double>(element_count(decl.shape)) * info(decl.dtype).bits;
    }
    return bits;
  }

  void compare(const QuantizedLayer& solved, bool known, const std::string& component,
               const std::string& layer, ExplainedLayer& row) const {
    const auto store = o_.reference->weights(component);
    const std::string weight = layer + ".weight", bias = layer + ".bias";
    const Tensor w = store->tensor(weight);
    OCTAVO_CHECK(w.shape() == solved.weight.codes.shape(), "layer {} is {} in {} and {} in {}",
                 row.name, to_string(w.shape()), o_.reference->where(),
                 to_string(solved.weight.codes.shape()), result_.artifact);
    row.weight_sqnr = weight_sqnr(solved, w);
    if (known && w.rank() == 2) {
      row.local = layer_error(solved, w, store->contains(bias) ? store->tensor(bias) : Tensor(),
                              o_.stats->layer(row.name), timesteps_, row.name);
    }
    store->release(weight);
  }

  void describe_input(const QuantizedLayer& solved, ExplainedLayer& row) const {
    const LayerStats& stats = o_.stats->layer(row.name);
    row.channels = stats.channels();
    row.outliers = outlier_channels(stats.all_steps().channel_absmax());
    const bool is_static =
        solved.activation && solved.activation->timing == QuantSpec::Timing::static_;
    for (const auto& [step, values] : stats.steps) {
      StepRange range{step, values.absmax, 0};
      if (is_static) range.largest = top_code(*solved.activation) * scale_at(solved, step);
      row.steps.push_back(range);
    }
  }

  double scale_at(const QuantizedLayer& solved, int step) const {
    const std::vector<float> scales = solved.input_scale.to_floats();
    if (!solved.input_steps.has_data()) return scales.at(0);
    if (step < 0 || static_cast<size_t>(step) >= timesteps_.size()) return 0;
    const std::vector<float> known = solved.input_steps.to_floats();
    const float wanted = timesteps_[static_cast<size_t>(step)];
    const auto nearest = std::min_element(known.begin(), known.end(), [&](float a, float b) {
      return std::fabs(a - wanted) < std::fabs(b - wanted);
    });
    return scales[static_cast<size_t>(nearest - known.begin())];
  }

  // As if every layer's relative error cost the picture the same.
  void estimate_shares() {
    double sum = 0;
    for (const ExplainedLayer& layer : result_.layers) {
      if (layer.local) sum += layer.local->relative();
    }
    if (sum <= 0) return;
    result_.share = ShareKind::estimated;
    for (ExplainedLayer& layer : result_.layers) {
      if (layer.local) layer.share = layer.local->relative() / sum;
    }
  }

  Measurements measurements() const {
    std::string prompts;
    for (const std::string& prompt : o_.prompts) prompts += prompt + "\n";
    return {o_.state,
            {{"artifact", file_->hash()},
             {"prompts", hash_hex(prompts)},
             {"seed", std::to_string(o_.run.seed)},
             {"steps", std::to_string(o_.run.steps)}}};
  }

  // Each layer alone: its part of the sum in each picture, and the mean of those.
  void measure_shares() {
    const std::shared_ptr<const ModelSource> whole = open_artifact(o_.artifact);
    const ReferencePictures pictures(*o_.reference, o_.prompts, o_.run);
    Measurements measured = measurements();
    Progress progress("run layers", static_cast<int64_t>(result_.layers.size()) + 1, "runs");
    std::vector<std::vector<double>> errors;
    std::vector<double> sums(o_.prompts.size(), 0);
    for (ExplainedLayer& layer : result_.layers) {
      errors.push_back(measured.get("pictures with " + layer.name, [&] {
        const auto takes = [&](const std::string& name) { return name == layer.name; };
        return pictures.errors(*mixed_model(o_.reference, whole, takes));
      }));
      layer.alone_psnr = mean_psnr(errors.back());
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += errors.back()[i];
      progress.step();
    }
    result_.psnr =
        mean_psnr(measured.get("pictures of the whole", [&] { return pictures.errors(*whole); }));
    progress.step();
    progress.finish();
    result_.psnr_added = mean_psnr(sums);
    result_.share = ShareKind::measured;
    result_.pictures = o_.prompts.size();
    for (size_t l = 0; l < errors.size(); ++l) {
      double share = 0;
      for (size_t i = 0; i < sums.size(); ++i) {
        if (sums[i] > 0) share += errors[l][i] / sums[i] / static_cast<double>(sums.size());
      }
      result_.layers[l].share = share;
    }
  }

  const ExplainOptions& o_;
  std::shared_ptr<const Artifact> file_;
  const ArtifactManifest& manifest_;
  std::vector<float> timesteps_;
  Explanation result_;
};

}  // namespace

double WordGain::db() const {
  return with > 0 && without > 0 ? 10 * std::log10(without / with) : 0;
}

std::vector<OutlierChannel> outlier_channels(const std::vector<float>& absmax) {
  std::vector<OutlierChannel> outliers;
  if (absmax.empty()) return outliers;
  std::vector<float> sorted = absmax;
  const auto middle = sorted.begin() + static_cast<int64_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const double median = *middle;
  if (median <= 0) return outliers;
  for (size_t i = 0; i < absmax.size(); ++i) {
    const double ratio = absmax[i] / median;
    if (ratio > kOutlier) outliers.push_back({static_cast<int64_t>(i), ratio});
  }
  std::stable_sort(
      outliers.begin(), outliers.end(),
      [](const OutlierChannel& a, const OutlierChannel& b) { return a.ratio > b.ratio; });
  return outliers;
}

Explanation explain(const ExplainOptions& options) { return Explainer(options).run(); }

}  // namespace octavo
