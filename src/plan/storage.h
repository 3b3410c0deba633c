#pragma once
#include <span>
#include <vector>

#include "plan/plan.h"
#include "plan/views.h"

namespace octavo {

// Where every value of the graph lives.
struct Storage {
  std::vector<Slot> slots;  // by ValueId
  std::vector<Plan::OutputCopy> output_copies;
  size_t arena_bytes = 0;
};

// A value shares the memory of another when it is a view of it (views.h), or when its kernel works
// in place and the input dies there. Values that leave the plan live in their output's buffer from
// the start. What a launch reads and writes is there together. The plan's nodes have kernels and
// calls, launches are there; constants are numbered by `constant_index` (by ValueId).
Storage assign_storage(const Plan& plan, const Views& views, std::span<const size_t> constant_index,
                       const PlanOptions& options);

}  // namespace octavo
