#pragma once
// Which values of a model calibration watches, and in how many passes over the prompts. Private to
// this floor.
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "models/model_source.h"
#include "quant/collector.h"

namespace octavo {

// "component/value" -> who takes it. Layers of several methods count once.
std::map<std::string, Watched> find_watches(const ModelSource& model,
                                            const std::vector<std::string>& components);

// Bytes that rows and second moment of a value of so many channels take, seen in `steps` steps.
int64_t row_bytes(const Sampling& sampling, int64_t channels, int64_t steps);

// Groups of values with rows, each within `memory` bytes or a single value; never none. The same
// from the same model, sampling and memory.
std::vector<std::set<std::string>> plan_passes(const std::map<std::string, Watched>& watches,
                                               const Sampling& sampling, int64_t steps,
                                               int64_t memory);

}  // namespace octavo
