#include "plan/memory.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace octavo {
namespace {

constexpr size_t kAlignment = 64;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

bool overlap(const Lifetime& a, const Lifetime& b) {
  return a.first <= b.last && b.first <= a.last;
}

struct Block {
  size_t begin, end;
};

// Where `bytes` fit best between blocks that are sorted by their begin.
size_t best_gap(const std::vector<Block>& taken, size_t bytes) {
  size_t cursor = 0, best = SIZE_MAX, smallest = SIZE_MAX;
  for (const Block& block : taken) {
    if (block.begin > cursor) {
      const size_t gap = block.begin - cursor;
      if (gap >= bytes && gap < smallest) {
        best = cursor;
        smallest = gap;
      }
    }
    cursor = std::max(cursor, block.end);
  }
  return best == SIZE_MAX ? cursor : best;
}

}  // namespace

Placement place(const std::vector<Lifetime>& lifetimes) {
  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });
  Placement placement{std::vector<size_t>(lifetimes.size()), 0};
  std::vector<size_t> placed;
  for (size_t i : order) {
    const size_t bytes = aligned(lifetimes[i].bytes);
    std::vector<Block> taken;
    for (size_t j : placed) {
      if (!overlap(lifetimes[i], lifetimes[j])) continue;
      const size_t begin = placement.offsets[j];
      taken.push_back({begin, begin + aligned(lifetimes[j].bytes)});
    }
    std::sort(taken.begin(), taken.end(),
              [](const Block& a, const Block& b) { return a.begin < b.begin; });
    placement.offsets[i] = best_gap(taken, bytes);
    placement.bytes = std::max(placement.bytes, placement.offsets[i] + bytes);
    placed.push_back(i);
  }
  return placement;
}

Placement place_apart(const std::vector<Lifetime>& lifetimes) {
  Placement placement;
  for (const Lifetime& lifetime : lifetimes) {
    placement.offsets.push_back(placement.bytes);
    placement.bytes += aligned(lifetime.bytes);
  }
  return placement;
}

}  // namespace octavo
