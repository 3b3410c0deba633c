#pragma once
#include <cstddef>
#include <vector>

namespace octavo {

// Memory needed while nodes first..last run (both included).
struct Lifetime {
  size_t bytes = 0;
  int first = 0, last = 0;
};

struct Placement {
  std::vector<size_t> offsets;  // parallel to the lifetimes; multiples of 64
  size_t bytes = 0;             // of the whole arena
};

// Offsets such that lifetimes that overlap in time do not overlap in memory: largest first, each
// into the smallest gap that holds it. Depends on the list only.
Placement place(const std::vector<Lifetime>& lifetimes);
// Every lifetime its own memory.
Placement place_apart(const std::vector<Lifetime>& lifetimes);

}  // namespace octavo
