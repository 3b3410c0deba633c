#pragma once
// One option for each layer: the least cost whose errors together stay within a budget. A
// multiple-choice knapsack: the Lagrangian over each layer's convex hull of (cost, error), which is
// optimal but for the last exchange, then a greedy repair that spends what is left of the budget.
// Deterministic: ties go to the first layer and the first option.
#include <cstddef>
#include <vector>

namespace octavo {

struct Option {
  double cost = 0, error = 0;  // error >= 0
};
using Options = std::vector<Option>;  // of one layer, not empty

struct Choice {
  std::vector<size_t> options;  // by layer
  double cost = 0, error = 0;   // sums
  bool within = true;           // false: even the least errors together exceed the budget
};

// The sums of a choice.
Choice sum_up(const std::vector<Options>& layers, std::vector<size_t> options);
Choice choose(const std::vector<Options>& layers, double budget);
Choice most_accurate(const std::vector<Options>& layers);  // of equals the cheapest
// What the Lagrangian passes through, from the cheapest choice to the most accurate on the hulls.
std::vector<Choice> frontier(const std::vector<Options>& layers);

}  // namespace octavo
