#pragma once
// How far two calibrations are apart, layer by layer.
#include <string>
#include <vector>

#include "quant/stats.h"

namespace octavo {

// All relative: 0 where both agree.
struct StatsDifference {
  std::string layer;
  double range = 0;   // of channels' least and largest values, in a step: largest, by its absmax
  double mean = 0;    // of channels' means over all steps: largest, by the layer's absmax
  double moment = 0;  // of E[x x^T]: Frobenius norm
  int step = -1;      // where the ranges differ most
  std::string only;   // "a", "b": the other has none such; or why they cannot be compared

  double largest() const;  // infinity when it is in one only
};

// The layers whose names match, those that differ most first; equal ones by name.
std::vector<StatsDifference> diff_stats(const Stats& a, const Stats& b,
                                        std::string_view layers_matching = "*");

}  // namespace octavo
