#pragma once
// Other key layouts of published checkpoints. Private to this floor.
#include <memory>

#include "io/weights.h"

namespace octavo {

// Flux as its authors published it: one file, fused projections, "double_blocks.0.img_attn.qkv",
// also inside of a whole pipeline's file under "model.diffusion_model.".
bool is_original_flux(const WeightStore& weights);
std::shared_ptr<const WeightStore> rename_original_flux(std::shared_ptr<const WeightStore> weights);

}  // namespace octavo
