// The knapsack against all choices there are.
#include "quant/search/choose.h"

#include <cmath>

#include "support.h"

namespace octavo {
namespace {

// Errors fall as costs rise, roughly, as bits do.
std::vector<Options> random_layers(uint64_t seed, size_t layers, size_t options) {
  test::Random random(seed);
  std::vector<Options> result(layers);
  for (Options& layer : result) {
    const float gain = std::exp(random.uniform(-3, 3)), size = random.uniform(1, 10);
    for (size_t o = 0; o < options; ++o) {
      const double bits = 4 + static_cast<double>(o);
      layer.push_back({size * bits, gain * std::pow(4.0, -bits) * random.uniform(0.5f, 2)});
    }
  }
  return result;
}

struct Best {
  double cost = INFINITY;
};

void try_all(const std::vector<Options>& layers, size_t layer, double cost, double error,
             double budget, Best& best) {
  if (error > budget) return;
  if (layer == layers.size()) {
    best.cost = std::min(best.cost, cost);
    return;
  }
  for (const Option& o : layers[layer]) {
    try_all(layers, layer + 1, cost + o.cost, error + o.error, budget, best);
  }
}

// Never over the budget, and within the last exchange of the optimum: the Lagrangian's bound.
TEST(Choose, NearlyTheBestOfAllChoices) {
  double worst = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    const auto layers = random_layers(seed, 6, 4);
    const std::vector<Choice> path = frontier(layers);
    const double budget =
        std::sqrt(path.front().error * std::max(path.back().error, 1e-12));  // between the ends
    const Choice found = choose(layers, budget);
    ASSERT_TRUE(found.within);
    EXPECT_LE(found.error, budget);
    Best best;
    try_all(layers, 0, 0, 0, budget, best);
    ASSERT_GE(found.cost, best.cost * (1 - 1e-12));
    double largest_exchange = 0;
    for (const Options& layer : layers)
      largest_exchange = std::max(largest_exchange, layer.back().cost - layer.front().cost);
    EXPECT_LE(found.cost, best.cost + largest_exchange) << "seed " << seed;
    worst = std::max(worst, found.cost / best.cost - 1);
  }
  EXPECT_LT(worst, 0.15);
}

TEST(Choose, FrontierFallsInErrorAndRisesInCost) {
  const std::vector<Choice> path = frontier(random_layers(5, 12, 5));
  ASSERT_GT(path.size(), 12u);
  for (size_t i = 1; i < path.size(); ++i) {
    EXPECT_LT(path[i].error, path[i - 1].error);
    EXPECT_GT(path[i].cost, path[i - 1].cost);
  }
}

TEST(Choose, SaysWhenNothingFits) {
  const std::vector<Options> layers{{{1, 5}, {2, 3}}, {{1, 4}, {3, 1}}};
  const Choice choice = choose(layers, 3.9);
  EXPECT_FALSE(choice.within);
  EXPECT_EQ(choice.options, (std::vector<size_t>{1, 1}));
  EXPECT_TRUE(choose(layers, 4).within);
  EXPECT_EQ(choose(layers, 100).options, (std::vector<size_t>{0, 0}));
}

// Dearer and worse options are never taken; of equals the cheapest, then the first.
TEST(Choose, DominatedOptionsAreLeftAlone) {
  const std::vector<Options> layers{{{3, 2}, {1, 2}, {1, 2}, {2, 9}}};
  EXPECT_EQ(most_accurate(layers).options, std::vector<size_t>{1});
  EXPECT_EQ(frontier(layers).size(), 1u);
  EXPECT_EQ(choose(layers, 2).options, std::vector<size_t>{1});
}

}  // namespace
}  // namespace octavo
