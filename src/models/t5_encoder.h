#pragma once
// T5EncoderModel. Private to this floor.
#include <string_view>

#include "graph/graph.h"
#include "io/json.h"
#include "io/weights.h"

namespace octavo {

Graph build_t5_encoder(const Config& config, const WeightStore* weights, std::string_view method);

}  // namespace octavo
