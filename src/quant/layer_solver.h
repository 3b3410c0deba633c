#pragma once
// One layer in, its quantized form out: the one place that both an artifact and a model quantized
// on the fly get their numbers from. Same inputs, same bytes, on any number of threads. Private to
// this floor.
#include <map>
#include <string>
#include <vector>

#include "io/weights.h"
#include "quant/input_transform.h"
#include "quant/layer_words.h"
#include "quant/stats.h"

namespace octavo {

// Scales of a static activation.
struct InputScales {
  Tensor scale;  // f32 [1, 1], or [S, 1] where each step has its own; empty when there are none
  Tensor steps;  // f32 [S], ascending, the timesteps they belong to; empty with one scale
  std::map<int, int64_t> row_of_step;  // a denoising step's row of `scale`; empty with one scale
};

// For all layers of a group. `timesteps`: by step, as the denoiser is given them.
InputScales solve_input_scales(const InputGroup& group, const InputTransform& transform,
                               const std::vector<float>& timesteps);

struct LayerProblem {
  std::string name;     // "component/layer", for messages
  std::string where;    // file and tensor of the weight, for messages
  Tensor weight, bias;  // as in the checkpoint; bias empty when there is none
  Scheme scheme;
  LayerWords words;
  InputTransform input;  // of the layer's group
  InputScales scales;
  const LayerStats* stats = nullptr;  // never null where the words need them
};

QuantizedLayer solve_layer(const LayerProblem& problem);

// Does the quantized layer have a bias of its own?
bool replaces_bias(const LayerWords& words);
// Whether codes are stored without the pruned ones: those of zero points have no 0.
bool stores_two_of_four(const LayerWords& words, const Scheme& scheme);

}  // namespace octavo
