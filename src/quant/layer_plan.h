#pragma once
// A recipe worked out for one model: what each quantized layer becomes. Private to this floor.
#include <map>
#include <memory>
#include <string>

#include "quant/layer_solver.h"
#include "quant/recipe.h"
#include "quant/stats.h"

namespace octavo {

struct LayerPlan {
  Scheme scheme;
  LayerWords how;
  Shape weight_shape;
  InputTransform input;  // shared by all layers of the group
  InputScales scales;
};

struct ModelPlan {
  Coverage coverage;
  std::map<std::string, LayerPlan> layers;               // by "component/layer"
  std::map<std::string, QuantizedAttention> attentions;  // by "component/module"
  bool uses_stats = false;
  std::shared_ptr<const Stats> stats;  // empty unless used
};

// Works out what layers share: transforms and scales of their inputs. Error when the recipe does
// not fit the model, or statistics are asked for that are missing, of another model, or have
// nothing of the layer.
ModelPlan plan_layers(const Recipe& recipe, const ModelSource& model,
                      const std::shared_ptr<const Stats>& stats);

// The quantized layer ("component/layer"), from its component's store.
QuantizedLayer solve_planned(const ModelPlan& plan, const std::string& layer,
                             const WeightStore& store);

}  // namespace octavo
