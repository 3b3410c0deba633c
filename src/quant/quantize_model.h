#pragma once
#include <filesystem>

#include "io/artifact.h"
#include "quant/recipe.h"
#include "quant/stats.h"

namespace octavo {

// A model with the recipe applied on the fly: every weight is quantized when asked for. Static
// activation specs need stats of this very model (Error names the first layer without). Computes
// what the artifact of quantize_model computes, bit for bit.
std::shared_ptr<const ModelSource> quantized_view(std::shared_ptr<const ModelSource> model,
                                                  const Recipe& recipe, const Stats* stats);

// Streams the quantized model into one file, tensor by tensor: memory stays at the largest tensor.
// Same inputs, same bytes, on any number of threads. NaN or Inf weights: Error{not_finite} with
// file, tensor and index. Returns the coverage it printed.
Coverage quantize_model(const std::shared_ptr<const ModelSource>& model, const Recipe& recipe,
                        const Stats* stats, const std::filesystem::path& output);

}  // namespace octavo
