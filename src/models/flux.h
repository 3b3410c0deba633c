#pragma once
// FluxTransformer2DModel: the sizes that a config gives. Private to this floor.
#include <cstdint>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "io/json.h"
#include "io/weights.h"

namespace octavo {

struct FluxConfig {
  int64_t in_channels, out_channels;  // of a packed latent token
  int64_t layers, single_layers;      // double-stream and single-stream blocks
  int64_t heads, head_dim;
  int64_t text_dim, pooled_dim;
  bool guidance;
  std::vector<int64_t> axes;  // rotary dimensions per position axis; their sum is head_dim
  int64_t dim() const { return heads * head_dim; }

  static FluxConfig read(const Config& config);
};

Graph build_flux(const Config& config, const WeightStore* weights, std::string_view method);

}  // namespace octavo
