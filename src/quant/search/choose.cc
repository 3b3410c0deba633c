#include "quant/search/choose.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace octavo {
namespace {

// Indices of the lower convex hull from the cheapest option on: errors fall, and each unit of cost
// buys less than the one before.
std::vector<size_t> hull_of(const Options& options) {
  std::vector<size_t> order(options.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return options[a].cost != options[b].cost ? options[a].cost < options[b].cost
                                              : options[a].error < options[b].error;
  });
  const auto slope = [&](size_t a, size_t b) {
    return (options[a].error - options[b].error) / (options[b].cost - options[a].cost);
  };
  std::vector<size_t> hull;
  for (size_t i : order) {
    if (!hull.empty() && options[i].error >= options[hull.back()].error) continue;
    while (hull.size() > 1 && slope(hull.back(), i) >= slope(hull[hull.size() - 2], hull.back())) {
      hull.pop_back();
    }
    hull.push_back(i);
  }
  return hull;
}

struct Exchange {
  size_t layer, to;
  double gain;  // error saved a unit of cost
};

std::vector<Exchange> exchanges_of(const std::vector<Options>& layers,
                                   std::vector<size_t>& cheapest) {
  std::vector<Exchange> exchanges;
  for (size_t l = 0; l < layers.size(); ++l) {
    OCTAVO_ASSERT(!layers[l].empty());
    const std::vector<size_t> hull = hull_of(layers[l]);
    cheapest.push_back(hull.front());
    for (size_t i = 1; i < hull.size(); ++i) {
      const Option &a = layers[l][hull[i - 1]], &b = layers[l][hull[i]];
      exchanges.push_back({l, hull[i], (a.error - b.error) / (b.cost - a.cost)});
    }
  }
  std::stable_sort(exchanges.begin(), exchanges.end(),
                   [](const Exchange& a, const Exchange& b) { return a.gain > b.gain; });
  return exchanges;
}

// Takes, as long as there is one, the change of one layer that saves the most and stays within.
Choice repair(const std::vector<Options>& layers, Choice choice, double budget) {
  while (true) {
    double best = 0;
    size_t layer = 0, to = 0;
    for (size_t l = 0; l < layers.size(); ++l) {
      const Option& now = layers[l][choice.options[l]];
      for (size_t o = 0; o < layers[l].size(); ++o) {
        const double saved = now.cost - layers[l][o].cost;
        if (saved <= best || choice.error - now.error + layers[l][o].error > budget) continue;
        best = saved;
        layer = l;
        to = o;
      }
    }
    if (best <= 0) return choice;
    std::vector<size_t> options = choice.options;
    options[layer] = to;
    choice = sum_up(layers, std::move(options));
  }
}

}  // namespace

Choice sum_up(const std::vector<Options>& layers, std::vector<size_t> options) {
  Choice choice;
  for (size_t l = 0; l < layers.size(); ++l) {
    choice.cost += layers[l][options[l]].cost;
    choice.error += layers[l][options[l]].error;
  }
  choice.options = std::move(options);
  return choice;
}

std::vector<Choice> frontier(const std::vector<Options>& layers) {
  std::vector<size_t> options;
  const std::vector<Exchange> exchanges = exchanges_of(layers, options);
  std::vector<Choice> path{sum_up(layers, options)};
  for (const Exchange& exchange : exchanges) {
    options[exchange.layer] = exchange.to;
    path.push_back(sum_up(layers, options));
  }
  return path;
}

Choice most_accurate(const std::vector<Options>& layers) {
  std::vector<size_t> options;
  for (const Options& layer : layers) options.push_back(hull_of(layer).back());
  return sum_up(layers, std::move(options));
}

Choice choose(const std::vector<Options>& layers, double budget) {
  for (Choice& choice : frontier(layers)) {
    if (choice.error <= budget) return repair(layers, std::move(choice), budget);
  }
  Choice best = most_accurate(layers);
  best.within = best.error <= budget;
  return best;
}

}  // namespace octavo
