#pragma once
// A model of which some layers are those of a quantized version of it: what one layer alone costs.
#include <functional>
#include <memory>
#include <string>

#include "models/model_source.h"

namespace octavo {

// `model` but for the layers (and attentions' modules) "component/name" that `takes` says yes to:
// those are as in `quantized`, where it quantizes them. Both must have the same components.
std::shared_ptr<const ModelSource> mixed_model(std::shared_ptr<const ModelSource> model,
                                               std::shared_ptr<const ModelSource> quantized,
                                               std::function<bool(const std::string&)> takes);

}  // namespace octavo
