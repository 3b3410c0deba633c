#pragma once
// AutoencoderKL. Private to this floor.
#include <string_view>

#include "graph/graph.h"
#include "io/json.h"
#include "io/weights.h"

namespace octavo {

Graph build_autoencoder_kl(const Config& config, const WeightStore* weights,
                           std::string_view method);

}  // namespace octavo
