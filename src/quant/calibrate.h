#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "quant/recipe.h"
#include "quant/stats.h"
#include "sample/pipeline.h"

namespace octavo {

struct CalibrateOptions {
  std::vector<std::string> prompts;
  uint64_t seed = 0;  // prompt i starts from randn(torch, seed + i)
  Tensor noise;       // or, if it has data, from row i of this: f32 [prompts, latent shape]
  int batch = 4;
  int steps = 0;                        // 0: the pipeline's own
  std::vector<std::string> components;  // empty: all
  std::shared_ptr<Device> device = {};  // nullptr: the CPU
  DType compute = DType::f32;           // bf16 is faster on a device; statistics say which it was
  std::filesystem::path checkpoint;     // partial stats saved here between batches; resumed from
  Sampling sampling;
  // Bytes for rows and second moments. Where those of all layers do not fit, the prompts are run
  // several times, each time for as many layers as fit (at least one); the result is the same.
  int64_t memory = int64_t{4} << 30;
};

// Runs the model's own pipeline and observes the input of every quantizable layer that
// making a picture from text passes through. Memory does not grow with the prompts, and the
// result does not depend on batch, memory and threads. A checkpoint of
// the same model, schedule and prompts is continued: the result is bit for bit that of one run.
// Error{invalid_argument} names what does not fit. The checkpoint is left for the caller to remove.
Stats calibrate(const ModelSource& model, const CalibrateOptions& options);

// `count` of the model's "known" prompts, evenly spread; Error when it comes without.
std::vector<std::string> calibration_prompts(const ModelSource& model, size_t count = 32);

}  // namespace octavo
