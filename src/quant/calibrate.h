#pragma once
#include <functional>

#include "quant/recipe.h"
#include "quant/stats.h"
#include "sample/pipeline.h"

namespace octavo {

struct CalibrateOptions {
  std::vector<std::string> prompts;
  uint64_t seed = 0;  // prompt i uses seed + i
  int batch = 4;
  int steps = 0;                        // 0: the pipeline's own
  std::vector<std::string> components;  // empty: all
  std::filesystem::path checkpoint;     // partial stats saved here after each batch; resumed from
};

// 32 prompts spread evenly over the model's own known ones; Error when it comes without prompts.
std::vector<std::string> calibration_prompts(const ModelSource& model);

// Runs the model's own pipeline in f32 and observes the input of every quantizable layer.
Stats calibrate(const ModelSource& model, const CalibrateOptions& options);

}  // namespace octavo
