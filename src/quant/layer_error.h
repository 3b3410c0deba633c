#pragma once
// What rounding costs one linear layer, at its own output: on the input rows that calibration
// recorded, which solving saw none or few of.
#include <string>
#include <vector>

#include "io/weights.h"
#include "quant/stats.h"

namespace octavo {

struct LayerError {
  double error = 0;        // mean over the rows of |output - that of the layer in float|^2
  double energy = 0;       // mean of |W x|^2
  double weight_sqnr = 0;  // dB: |W'|^2 / |W' - what stands for it|^2, in the transformed basis
  double relative() const { return energy > 0 ? error / energy : 0; }
};

// weight [out, in] and bias ([out] or empty) as in the checkpoint. `timesteps`: by denoising step,
// as the denoiser is given them; may be empty unless the layer has a scale a step. Error when no
// rows were recorded.
LayerError layer_error(const QuantizedLayer& layer, const Tensor& weight, const Tensor& bias,
                       const LayerStats& stats, const std::vector<float>& timesteps,
                       const std::string& name);

// 10 log10 of |W'|^2 / |W' - what stands for it|^2; 200 where nothing was lost.
double weight_sqnr(const QuantizedLayer& layer, const Tensor& weight);

// Those of the calibration's schedule, by denoising step; empty when it does not say.
std::vector<float> schedule_timesteps(const Stats& stats);

}  // namespace octavo
