#pragma once
// A recipe worked out for one model: what each quantized layer becomes. Private to this floor.
#include <map>
#include <string>

#include "quant/recipe.h"
#include "quant/stats.h"

namespace octavo {

struct LayerPlan {
  Scheme scheme;
  Shape weight_shape;
  Tensor input_scale;  // f32 [1, 1] for static activations, else empty
};

struct ModelPlan {
  Coverage coverage;
  std::map<std::string, LayerPlan> layers;  // by "component/layer"
  bool uses_stats = false;                  // some activation is static
};

// Error when the recipe does not fit the model, or a static activation has no statistics, those of
// another model, or none for its layer.
ModelPlan plan_layers(const Recipe& recipe, const ModelSource& model, const Stats* stats);

}  // namespace octavo
