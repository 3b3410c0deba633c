#include "quant/search/latency.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "base/check.h"
#include "base/progress.h"
#include "quant/quantize_model.h"
#include "sample/rng.h"

namespace octavo {
namespace {

constexpr int kStepsTimed = 4;

struct Bench {
  std::unique_ptr<Pipeline> pipeline;
  Tensor noise;

  Bench(const ModelSource& model, const LatencyOptions& options) {
    PipelineOptions settings;
    settings.component.compute = options.compute;
    settings.component.plan.device = options.device;
    pipeline = make_pipeline(model, settings);
    pipeline->begin(pipeline->encode({options.prompt}));
    Shape shape = pipeline->latent_shape();
    shape.insert(shape.begin(), 1);
    noise = randn(RngKind::torch, 0, shape);
    pipeline->velocity(0, noise);  // plans, allocates
  }
  void step(int i) { pipeline->velocity(i % pipeline->steps(), noise); }
};

bool is_part_of(const std::string& name, const std::string& layer) {
  return name == layer ||
         (name.size() > layer.size() && name.starts_with(layer) && name[layer.size()] == '.');
}

// By node: the layer it belongs to. A product is told by its weight, as one that is fused with what
// follows bears the name of that; what is done to the input by its name.
std::map<std::string, size_t> find_owners(const std::vector<SearchedLayer>& layers,
                                          const std::string& name, const Component& component) {
  std::map<std::string, size_t> owners;
  for (const auto& plan : component.plans()) {
    for (const Node& node : plan->graph.nodes()) {
      const std::string& made = plan->graph.value(node.outputs.front()).name;
      for (size_t l = 0; l < layers.size(); ++l) {
        if (layers[l].component != name) continue;
        const std::string& layer = layers[l].layer.name;
        const bool holds_weight =
            std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) {
              return input != kNoValue &&
                     is_part_of(plan->graph.value(input).name, layer + ".weight");
            });
        if (holds_weight || is_part_of(made, layer)) owners[made] = l;
      }
    }
  }
  return owners;
}

// Seconds of a step, of each layer; one number a layer.
std::vector<double> time_layers(const std::vector<SearchedLayer>& layers, const ModelSource& model,
                                const LatencyOptions& options) {
  Bench bench(model, options);
  std::vector<double> best(layers.size(), 0);
  for (int round = 0; round < options.rounds; ++round) {
    for (const auto& [name, component] : bench.pipeline->components()) {
      component->set_profiling(true);
    }
    for (int i = 0; i < kStepsTimed; ++i) bench.step(i);
    std::vector<double> now(layers.size(), 0);
    for (const auto& [name, component] : bench.pipeline->components()) {
      const auto owners = find_owners(layers, name, *component);
      for (const NodeProfile& node : component->profile()) {
        const auto owner = owners.find(node.name);
        if (node.every_step && owner != owners.end()) {
          now[owner->second] += node.seconds / kStepsTimed;
        }
      }
      component->set_profiling(false);
    }
    for (size_t l = 0; l < layers.size(); ++l) {
      best[l] = round == 0 ? now[l] : std::min(best[l], now[l]);
    }
  }
  return best;
}

}  // namespace

double step_seconds(const ModelSource& model, const LatencyOptions& options) {
  Bench bench(model, options);
  double best = 0;
  for (int i = 0; i < options.rounds * kStepsTimed; ++i) {
    const auto start = std::chrono::steady_clock::now();
    bench.step(i);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = i == 0 ? took.count() : std::min(best, took.count());
  }
  return best;
}

Latency measure_latency(const SensitivityProblem& problem, const LatencyOptions& options,
                        Measurements& measured) {
  Latency latency;
  for (const SearchedLayer& layer : problem.layers) {
    latency.layers.emplace_back(layer.possible.size());
  }
  Progress progress("time candidates", static_cast<int64_t>(problem.candidates.size()) + 1,
                    "models");
  for (size_t c = 0; c < problem.candidates.size(); ++c) {
    std::vector<SearchedLayer> fitting;
    for (const SearchedLayer& layer : problem.layers) {
      if (std::count(layer.possible.begin(), layer.possible.end(), c)) fitting.push_back(layer);
    }
    progress.step();
    if (fitting.empty()) continue;
    const Candidate& candidate = problem.candidates[c];
    const std::vector<double>& seconds =
        measured.get(fmt::format("seconds of each layer as {}", candidate.text), [&] {
          if (!candidate.scheme) return time_layers(fitting, *problem.model, options);
          const std::vector<size_t> all(fitting.size(), c);
          const auto view = quantized_view(problem.model,
                                           recipe_of(fitting, problem.candidates, all, "candidate"),
                                           problem.stats.get());
          return time_layers(fitting, *view, options);
        });
    OCTAVO_CHECK_FILE(seconds.size() == fitting.size(), "the state holds times of {} layers of {}",
                      seconds.size(), fitting.size());
    for (size_t l = 0, at = 0; l < problem.layers.size(); ++l) {
      const auto& possible = problem.layers[l].possible;
      const auto place = std::find(possible.begin(), possible.end(), c);
      if (place == possible.end()) continue;
      latency.layers[l][static_cast<size_t>(place - possible.begin())].seconds = seconds[at++];
    }
  }
  latency.step_in_float =
      measured
          .get("seconds of a step in float",
               [&] { return std::vector<double>{step_seconds(*problem.model, options)}; })
          .at(0);
  progress.step();
  progress.finish();
  return latency;
}

}  // namespace octavo
