#include "plan/memory.h"

#include <algorithm>

#include "support.h"

namespace octavo {
namespace {

using test::Random;

std::vector<Lifetime> random_lifetimes(Random& random) {
  std::vector<Lifetime> lifetimes;
  for (int64_t i = random.below(60); i >= 0; --i) {
    const int first = static_cast<int>(random.below(30));
    const auto bytes = static_cast<size_t>(random.below(5000));
    lifetimes.push_back({bytes, first, first + static_cast<int>(random.below(8))});
  }
  return lifetimes;
}

// Largest sum of bytes alive at once: no placement can do with less.
size_t lower_bound_of(const std::vector<Lifetime>& lifetimes) {
  size_t most = 0;
  for (int t = 0; t < 64; ++t) {
    size_t alive = 0;
    for (const Lifetime& l : lifetimes) {
      if (l.first <= t && t <= l.last) alive += (l.bytes + 63) / 64 * 64;
    }
    most = std::max(most, alive);
  }
  return most;
}

void expect_valid(const std::vector<Lifetime>& lifetimes, const Placement& placement) {
  ASSERT_EQ(placement.offsets.size(), lifetimes.size());
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    EXPECT_EQ(placement.offsets[i] % 64, 0u);
    EXPECT_LE(placement.offsets[i] + lifetimes[i].bytes, placement.bytes);
    for (size_t j = 0; j < i; ++j) {
      const bool in_time =
          lifetimes[i].first <= lifetimes[j].last && lifetimes[j].first <= lifetimes[i].last;
      const bool in_memory = placement.offsets[i] < placement.offsets[j] + lifetimes[j].bytes &&
                             placement.offsets[j] < placement.offsets[i] + lifetimes[i].bytes;
      EXPECT_FALSE(in_time && in_memory) << i << " and " << j;
    }
  }
}

TEST(Memory, LifetimesThatOverlapInTimeDoNotInMemory) {
  Random random(1);
  double used = 0, needed = 0;
  for (int round = 0; round < 200; ++round) {
    const auto lifetimes = random_lifetimes(random);
    const Placement placement = place(lifetimes);
    expect_valid(lifetimes, placement);
    expect_valid(lifetimes, place_apart(lifetimes));
    EXPECT_EQ(place(lifetimes).offsets, placement.offsets);
    used += static_cast<double>(placement.bytes);
    needed += static_cast<double>(lower_bound_of(lifetimes));
  }
  EXPECT_LT(used / needed, 1.1);
}

TEST(Memory, AChainNeedsTwoBuffers) {
  std::vector<Lifetime> chain;
  for (int i = 0; i < 10; ++i) chain.push_back({128, i, i + 1});
  EXPECT_EQ(place(chain).bytes, 256u);
  EXPECT_EQ(place_apart(chain).bytes, 1280u);
}

TEST(Memory, TheSmallestGapThatFitsIsTaken) {
  // At time 0 blocks of 640, 320, 256 and 192 lie side by side; the first and the third are gone
  // at time 1, when 128 bytes fit into both gaps.
  const std::vector<Lifetime> lifetimes{
      {640, 0, 0}, {320, 0, 1}, {256, 0, 0}, {192, 0, 1}, {128, 1, 1}};
  const Placement placement = place(lifetimes);
  EXPECT_EQ(placement.offsets, (std::vector<size_t>{0, 640, 960, 1216, 960}));
  EXPECT_EQ(placement.bytes, 640u + 320 + 256 + 192);
}

TEST(Memory, NothingNeedsNothing) {
  EXPECT_EQ(place({}).bytes, 0u);
  EXPECT_EQ(place({{0, 0, 3}, {0, 1, 2}}).bytes, 0u);
}

}  // namespace
}  // namespace octavo
