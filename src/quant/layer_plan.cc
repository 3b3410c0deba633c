#include "quant/layer_plan.h"

#include "base/check.h"

namespace octavo {
namespace {

bool is_static(const Scheme& scheme) {
  return scheme.activation && scheme.activation->timing == QuantSpec::Timing::static_;
}

void check_stats(const Stats* stats, const ModelSource& model, const std::string& layer,
                 const Scheme& scheme) {
  OCTAVO_CHECK(stats != nullptr,
               "layer {} is {}: a static activation needs statistics; make them with: octavo "
               "calibrate {} -o STATS.safetensors",
               layer, scheme.text(), model.where());
  const std::string hash = model.hash();
  OCTAVO_CHECK(stats->model_hash == hash,
               "the statistics are of a model with hash {}, {} has hash {}; calibrate this one",
               stats->model_hash, model.where(), hash);
}

}  // namespace

ModelPlan plan_layers(const Recipe& recipe, const ModelSource& model, const Stats* stats) {
  ModelPlan plan;
  plan.coverage = cover(recipe, model);
  for (const CoverageRow& row : plan.coverage.rows) {
    if (!row.scheme) continue;
    LayerPlan layer{*row.scheme, row.layer.weight_shape, Tensor()};
    if (is_static(layer.scheme)) {
      if (!plan.uses_stats) check_stats(stats, model, row.name(), layer.scheme);
      plan.uses_stats = true;
      layer.input_scale = solve_scale(*stats, row.name(), *layer.scheme.activation, row.solver);
    }
    plan.layers[row.name()] = std::move(layer);
  }
  return plan;
}

}  // namespace octavo
