#include "quant/layer_plan.h"

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/progress.h"
#include "io/json.h"
#include "quant/attention_plan.h"

namespace octavo {
namespace {

constexpr std::string_view kWeight = ".weight", kBias = ".bias";

void check_stats(const Stats* stats, const ModelSource& model, const std::string& layer,
                 const std::string& scheme, const std::string& need) {
  OCTAVO_CHECK(stats != nullptr,
               "layer {} is {}: {}; make them with: octavo calibrate {} -o STATS.safetensors",
               layer, scheme, need, model.where());
  stats->check_usable(model.hash(), model.where());
}

// By denoising step, as the denoiser is given them; empty when the schedule does not say.
std::vector<float> timesteps_of(const Stats& stats) {
  const Config schedule = Config::parse(stats.schedule, "schedule of the statistics");
  if (!schedule.has("timesteps")) return {};
  return schedule.json().at("timesteps").get<std::vector<float>>();
}

// What layers must agree in to share what is done to their input.
std::string group_key(const CoverageRow& row) {
  LayerWords words;
  words.input = row.how.input;
  words.solver = row.how.solver;
  words.margin = row.how.margin;
  words.scale_each_step = row.how.scale_each_step;
  const std::string activation = row.scheme->activation ? row.scheme->activation->text() : "";
  return fmt::format("{}/{} {} {}", row.component, row.layer.input, activation, words.text());
}

using Stores = std::map<std::string, std::shared_ptr<const WeightStore>>;

InputGroup make_group(const std::vector<const CoverageRow*>& rows, const Stores& stores,
                      const Stats* stats) {
  const CoverageRow& first = *rows.front();
  InputGroup group;
  group.name = first.name();
  group.channels = first.layer.weight_shape[1];
  group.members = rows.size();
  group.weight = [rows, &stores](size_t i) {
    const CoverageRow& row = *rows[i];
    const WeightStore& store = *stores.at(row.component);
    const std::string name = row.layer.name + std::string(kWeight);
    const Matrix weight =
        to_matrix(store.tensor(name), row.layer.weight_shape[0], row.layer.weight_shape[1]);
    store.release(name);
    return weight;
  };
  group.activation = first.scheme->activation;
  group.weight_spec = first.scheme->weight;
  group.words = first.how;
  if (!statistics_needed(first.how, *first.scheme).empty()) group.stats = &stats->layer(group.name);
  return group;
}

// Layers that share an input value and all that is done to it.
std::map<std::string, std::vector<const CoverageRow*>> find_groups(const Coverage& coverage) {
  std::map<std::string, std::vector<const CoverageRow*>> groups;
  for (const CoverageRow& row : coverage.rows) {
    if (row.scheme) groups[group_key(row)].push_back(&row);
  }
  return groups;
}

void solve_inputs(const ModelSource& model, ModelPlan& plan) {
  Stores stores;
  for (const std::string& component : model.components()) {
    stores[component] = model.weights(component);
  }
  const std::vector<float> timesteps =
      plan.uses_stats ? timesteps_of(*plan.stats) : std::vector<float>();
  const auto groups = find_groups(plan.coverage);
  Progress progress("solve inputs", static_cast<int64_t>(groups.size()), "values");
  for (const auto& [key, rows] : groups) {
    const InputGroup group = make_group(rows, stores, plan.stats.get());
    const InputTransform transform = solve_transform(group);
    const InputScales scales = solve_input_scales(group, transform, timesteps);
    for (const CoverageRow* row : rows) {
      LayerPlan& layer = plan.layers.at(row->name());
      layer.input = transform;
      layer.scales = scales;
    }
    progress.step();
  }
  progress.finish();
}

}  // namespace

ModelPlan plan_layers(const Recipe& recipe, const ModelSource& model,
                      const std::shared_ptr<const Stats>& stats) {
  ModelPlan plan;
  plan.coverage = cover(recipe, model);
  for (const CoverageRow& row : plan.coverage.rows) {
    if (!row.scheme) continue;
    plan.layers[row.name()] = {*row.scheme, row.how, row.layer.weight_shape, {}, {}};
    const std::string need = statistics_needed(row.how, *row.scheme);
    if (need.empty()) continue;
    if (!plan.uses_stats) check_stats(stats.get(), model, row.name(), row.scheme->text(), need);
    plan.uses_stats = true;
    stats->layer(row.name());  // Error when it was never seen
  }
  for (const AttentionRow& row : plan.coverage.attentions) {
    if (!row.scheme || !is_static(*row.scheme)) continue;
    if (!plan.uses_stats) {
      check_stats(stats.get(), model, row.name(), row.scheme->text(),
                  "static operands need statistics");
    }
    plan.uses_stats = true;
  }
  plan.attentions = plan_attentions(plan.coverage, stats.get());
  if (plan.uses_stats) plan.stats = stats;
  solve_inputs(model, plan);
  return plan;
}

QuantizedLayer solve_planned(const ModelPlan& plan, const std::string& layer,
                             const WeightStore& store) {
  const LayerPlan& p = plan.layers.at(layer);
  const std::string name = layer.substr(layer.find('/') + 1);
  const std::string weight = name + std::string(kWeight), bias = name + std::string(kBias);
  LayerProblem problem;
  problem.name = layer;
  problem.where = fmt::format("{}: tensor \"{}\"", store.where(weight), weight);
  problem.weight = store.tensor(weight);
  if (replaces_bias(p.how) && store.contains(bias)) problem.bias = store.tensor(bias);
  problem.scheme = p.scheme;
  problem.words = p.how;
  problem.input = p.input;
  problem.scales = p.scales;
  if (plan.uses_stats && !statistics_needed(p.how, p.scheme).empty()) {
    problem.stats = &plan.stats->layer(layer);
  }
  QuantizedLayer result = solve_layer(problem);
  store.release(weight);
  return result;
}

}  // namespace octavo
