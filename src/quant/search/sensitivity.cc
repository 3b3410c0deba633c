#include "quant/search/sensitivity.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/progress.h"
#include "io/artifact.h"
#include "quant/layer_error.h"
#include "quant/layer_plan.h"
#include "quant/mixed_model.h"
#include "quant/quantize_model.h"

namespace octavo {
namespace {

constexpr double kLossless = 200;  // dB

// Bytes of a layer's tensors but for the bias, which only takes the checkpoint's place.
double stored_bytes(const std::string& name, const QuantizedLayer& layer) {
  double bytes = 0;
  for (const TensorDecl& decl : layer_tensors(name, LayerForm::of(layer))) {
    if (decl.name == name + ".bias") continue;
    bytes += static_cast<double>(element_count(decl.shape)) * info(decl.dtype).bits / 8;
  }
  return bytes;
}

double kept_bytes(const SearchedLayer& layer) {
  return layer.parameters * info(layer.layer.dtype).bits / 8;
}

// Index in `possible` of each layer, or -1.
int64_t place_of(const SearchedLayer& layer, size_t candidate) {
  const auto found = std::find(layer.possible.begin(), layer.possible.end(), candidate);
  return found == layer.possible.end() ? -1 : found - layer.possible.begin();
}

std::string solved_name(const SearchedLayer& layer, const Candidate& candidate) {
  return fmt::format("layer {} as {}", layer.name(), candidate.text);
}

// Everything of one candidate: all layers it fits are planned together, as in a recipe of it alone,
// so that those that share an input share what is done to it.
class CandidateEstimator {
 public:
  CandidateEstimator(const SensitivityProblem& problem, size_t candidate)
      : problem_(problem), candidate_(candidate) {}

  std::vector<double> solve(const SearchedLayer& layer) {
    if (!plan_) make_plan();
    const auto store = problem_.model->weights(layer.component);
    const QuantizedLayer solved = solve_planned(*plan_, layer.name(), *store);
    const std::string weight = layer.layer.name + ".weight", bias = layer.layer.name + ".bias";
    const LayerError error = layer_error(
        solved, store->tensor(weight), store->contains(bias) ? store->tensor(bias) : Tensor(),
        problem_.stats->layer(layer.name()), timesteps_, layer.name());
    store->release(weight);
    return {error.error, error.relative(), error.weight_sqnr, stored_bytes(layer.name(), solved)};
  }

 private:
  void make_plan() {
    std::vector<SearchedLayer> fitting;
    for (const SearchedLayer& layer : problem_.layers) {
      if (place_of(layer, candidate_) >= 0) fitting.push_back(layer);
    }
    const std::vector<size_t> all(fitting.size(), candidate_);
    const Recipe recipe = recipe_of(fitting, problem_.candidates, all, "candidate");
    plan_ = std::make_unique<ModelPlan>(plan_layers(recipe, *problem_.model, problem_.stats));
    timesteps_ = schedule_timesteps(*problem_.stats);
  }

  const SensitivityProblem& problem_;
  size_t candidate_;
  std::unique_ptr<ModelPlan> plan_;
  std::vector<float> timesteps_;
};

size_t middle_candidate(const std::vector<CandidateFigures>& figures) {
  double low = INFINITY, high = 0;
  for (const CandidateFigures& f : figures) {
    if (f.error > 0) low = std::min(low, f.error);
    high = std::max(high, f.error);
  }
  if (high <= 0) return 0;
  const double middle = (std::log(low) + std::log(high)) / 2;
  const auto distance = [&](const CandidateFigures& f) {
    return f.error > 0 ? std::fabs(std::log(f.error) - middle) : INFINITY;
  };
  const auto nearer = [&](const auto& a, const auto& b) { return distance(a) < distance(b); };
  return static_cast<size_t>(std::min_element(figures.begin(), figures.end(), nearer) -
                             figures.begin());
}

}  // namespace

Sensitivity estimate_layers(const SensitivityProblem& problem, Measurements& measured) {
  Sensitivity result;
  for (const SearchedLayer& layer : problem.layers) {
    result.layers.emplace_back().figures.resize(layer.possible.size());
  }
  int64_t total = 0;
  for (const SearchedLayer& layer : problem.layers) {
    total += static_cast<int64_t>(layer.possible.size());
  }
  Progress progress("solve candidates", total, "layers");
  for (size_t c = 0; c < problem.candidates.size(); ++c) {
    CandidateEstimator estimator(problem, c);
    for (size_t l = 0; l < problem.layers.size(); ++l) {
      const SearchedLayer& layer = problem.layers[l];
      const int64_t place = place_of(layer, c);
      if (place < 0) continue;
      CandidateFigures& figures = result.layers[l].figures[static_cast<size_t>(place)];
      if (!problem.candidates[c].scheme) {
        figures = {0, 0, kLossless, kept_bytes(layer)};
      } else {
        const auto& v = measured.get(solved_name(layer, problem.candidates[c]),
                                     [&] { return estimator.solve(layer); });
        OCTAVO_CHECK_FILE(v.size() == 4, "{}: {} figures, expected 4",
                          solved_name(layer, problem.candidates[c]), v.size());
        figures = {v[0], v[1], v[2], v[3]};
      }
      progress.step();
    }
  }
  progress.finish();
  for (LayerSensitivity& layer : result.layers) layer.reference = middle_candidate(layer.figures);
  return result;
}

std::vector<size_t> Sensitivity::references(const std::vector<SearchedLayer>& searched) const {
  std::vector<size_t> choice;
  for (size_t l = 0; l < layers.size(); ++l) {
    choice.push_back(searched[l].possible[layers[l].reference]);
  }
  return choice;
}

void measure_layers(const SensitivityProblem& problem, const ReferencePictures& pictures,
                    Measurements& measured, Sensitivity& sensitivity) {
  const std::vector<size_t> references = sensitivity.references(problem.layers);
  const bool any = std::any_of(references.begin(), references.end(),
                               [&](size_t c) { return problem.candidates[c].scheme.has_value(); });
  const size_t count = pictures.prompts().size();
  sensitivity.together.assign(count, 0);
  for (LayerSensitivity& layer : sensitivity.layers) layer.picture_errors.assign(count, 0);
  if (!any) return;
  const auto quantized = quantized_view(
      problem.model, recipe_of(problem.layers, problem.candidates, references, "references"),
      problem.stats.get());
  Progress progress("run layers", static_cast<int64_t>(problem.layers.size()) + 1, "runs");
  for (size_t l = 0; l < problem.layers.size(); ++l) {
    const Candidate& reference = problem.candidates[references[l]];
    const std::string name = problem.layers[l].name();
    if (reference.scheme) {
      sensitivity.layers[l].picture_errors =
          measured.get(fmt::format("pictures with {} as {}", name, reference.text), [&] {
            return pictures.errors(*mixed_model(problem.model, quantized,
                                                [&](const std::string& n) { return n == name; }));
          });
    }
    progress.step();
  }
  sensitivity.together = measured.get("pictures with all layers as their references",
                                      [&] { return pictures.errors(*quantized); });
  progress.step();
  progress.finish();
}

std::vector<double> Sensitivity::predict(const std::vector<SearchedLayer>& searched,
                                         const std::vector<size_t>& choice) const {
  std::vector<double> errors(together.size(), 0);
  for (size_t l = 0; l < layers.size(); ++l) {
    const LayerSensitivity& layer = layers[l];
    const double reference = layer.figures[layer.reference].error;
    if (reference <= 0) continue;
    const int64_t place = place_of(searched[l], choice[l]);
    OCTAVO_ASSERT(place >= 0);
    const double factor = layer.figures[static_cast<size_t>(place)].error / reference;
    for (size_t i = 0; i < errors.size(); ++i) errors[i] += layer.picture_errors[i] * factor;
  }
  return errors;
}

std::vector<double> Sensitivity::shares() const {
  std::vector<double> shares(layers.size(), 0);
  for (size_t i = 0; i < together.size(); ++i) {
    double sum = 0;
    for (const LayerSensitivity& layer : layers) sum += layer.picture_errors[i];
    if (sum <= 0) continue;
    for (size_t l = 0; l < layers.size(); ++l) {
      shares[l] += layers[l].picture_errors[i] / sum / static_cast<double>(together.size());
    }
  }
  return shares;
}

}  // namespace octavo
