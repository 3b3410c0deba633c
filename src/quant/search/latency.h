#pragma once
// What each layer costs in time under each candidate: the kernels that the device's plan chose for
// it, timed where they run, inside the model.
#include <memory>
#include <vector>

#include "judge/picture_error.h"
#include "quant/search/candidates.h"
#include "quant/search/measurements.h"
#include "quant/search/sensitivity.h"

namespace octavo {

struct KernelTime {
  double seconds = 0;  // a denoising step, the median over steps; 0 where it does not run each step
};

struct Latency {
  std::vector<std::vector<KernelTime>> layers;  // by layer and SearchedLayer::possible
  double step_in_float = 0;                     // seconds of a whole step with nothing quantized
};

struct LatencyOptions {
  std::string prompt = "a picture";
  int rounds = 3;  // of the schedule's first steps
  std::shared_ptr<Device> device = {};
  DType compute = DType::f32;
};

// One model a candidate, all layers that it fits quantized. Times of a layer: its product and what
// is done to its input (rounding, transform), where that was not fused into the value's producer.
Latency measure_latency(const SensitivityProblem& problem, const LatencyOptions& options,
                        Measurements& measured);

// Seconds of a denoising step, the least of several: nothing else of the machine in it.
double step_seconds(const ModelSource& model, const LatencyOptions& options);

}  // namespace octavo
