#pragma once
// Splits a graph by how often its values change, so that what depends on the prompt runs once a
// request, what depends on the timestep once a schedule, what depends on both once a request for
// all steps, and only the rest every step.
#include <map>
#include <string_view>

#include "graph/graph.h"

namespace octavo {

// Four graphs that together compute what the source does. Each takes those inputs of the source
// that it uses, and values that earlier stages made: outputs there, inputs here, under one name and
// with their rate. An output of the source is an output of the stage that makes it, under its
// public name. Parts that depend on constants only are copied into the stages that use them.
struct StagedGraph {
  Graph request, schedule, trajectory, step;
};

// A value of schedule or trajectory rate is kept for every step, so only small ones are hoisted: at
// most kHoistedElements an index of axis 0, without further symbols. Others stay in the step stage.
// Copies of earlier values (reshape, expand, the first row of axis 0) are made where they are used.
inline constexpr int64_t kHoistedElements = int64_t{1} << 18;
StagedGraph hoist(const Graph& graph);

// Whether the graph may run for all steps at once: the symbol's extent multiplied by their number,
// inputs with the symbol stacked along axis 0 step by step (repeated where they do not change).
// Each node is batch_parallel, the symbol is a factor of axis 0 alone wherever it occurs, and all
// outputs and all inputs that change from step to step have it.
bool batch_parallel(const Graph& graph, std::string_view symbol);

struct StageReport {
  Dim flops;  // multiply-adds x 2
  int64_t nodes = 0;
  int64_t parameters = 0;  // elements of constants but scales, counted in the latest stage of use
};
// By Rate::request, schedule, trajectory, step: what runs how often, as hoist() splits it.
using HoistReport = std::map<Rate, StageReport>;
HoistReport report(const StagedGraph& stages);

}  // namespace octavo
