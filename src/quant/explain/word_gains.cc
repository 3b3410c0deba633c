#include "quant/explain/word_gains.h"

#include "base/check.h"
#include "quant/layer_plan.h"

namespace octavo {
namespace {

// Sets one part of the words to its default; false when it is there already.
using Reset = bool (*)(LayerWords&);

template <class T>
bool reset(T& part, const T& value) {
  if (part == value) return false;
  part = value;
  return true;
}

const LayerWords& defaults() {
  static const LayerWords words;
  return words;
}

const Reset kResets[] = {
    [](LayerWords& w) { return reset(w.input.shift, InputWords::Shift::none); },
    [](LayerWords& w) {
      w.input.alpha = 0;
      return reset(w.input.smooth, InputWords::Smooth::none);
    },
    [](LayerWords& w) { return reset(w.input.rotation, int64_t{0}); },
    [](LayerWords& w) { return reset(w.low_rank, int64_t{0}); },
    [](LayerWords& w) { return reset(w.rounding, LayerWords::Rounding::nearest); },
    [](LayerWords& w) { return reset(w.clip, LayerWords::Clip::absmax); },
    [](LayerWords& w) { return reset(w.correct_bias, false); },
    [](LayerWords& w) { return reset(w.sparsity, LayerWords::Sparsity::none); },
    [](LayerWords& w) { return reset(w.solver, defaults().solver); },
    [](LayerWords& w) { return reset(w.margin, 1.0); },
    [](LayerWords& w) { return reset(w.scale_each_step, false); },
};

// The words that `from` has and `less` lacks.
std::string lost_words(const std::string& from, const std::string& less) {
  std::string lost;
  for (size_t begin = 0; begin < from.size();) {
    const size_t end = std::min(from.find(' ', begin), from.size());
    const std::string word = from.substr(begin, end - begin);
    if ((" " + less + " ").find(" " + word + " ") == std::string::npos) {
      lost += (lost.empty() ? "" : " ") + word;
    }
    begin = end + 1;
  }
  return lost;
}

double solve_alone(const ModelSource& model, const std::shared_ptr<const Stats>& stats,
                   const std::string& layer, const Scheme& scheme, const LayerWords& words) {
  const Recipe recipe =
      Recipe::parse(fmt::format("{} {} {}", layer, scheme.text(), words.text()), "one layer");
  const ModelPlan plan = plan_layers(recipe, model, stats);
  const size_t slash = layer.find('/');
  const auto store = model.weights(layer.substr(0, slash));
  const std::string name = layer.substr(slash + 1), bias = name + ".bias";
  const QuantizedLayer solved = solve_planned(plan, layer, *store);
  return layer_error(solved, store->tensor(name + ".weight"),
                     store->contains(bias) ? store->tensor(bias) : Tensor(), stats->layer(layer),
                     schedule_timesteps(*stats), layer)
      .error;
}

}  // namespace

std::vector<std::pair<std::string, LayerWords>> without_each(const LayerWords& words) {
  std::vector<std::pair<std::string, LayerWords>> result;
  for (const Reset reset_part : kResets) {
    LayerWords less = words;
    if (reset_part(less)) result.emplace_back(lost_words(words.text(), less.text()), less);
  }
  return result;
}

std::vector<WordGain> word_gains(const std::shared_ptr<const ModelSource>& model,
                                 const std::shared_ptr<const Stats>& stats,
                                 const std::string& layer, const Scheme& scheme,
                                 const LayerWords& words) {
  std::vector<WordGain> gains;
  const auto others = without_each(words);
  if (others.empty()) return gains;
  const double with = solve_alone(*model, stats, layer, scheme, words);
  for (const auto& [word, less] : others) {
    WordGain gain{word, 0, with, obstacle(less, scheme)};
    if (gain.impossible.empty()) gain.without = solve_alone(*model, stats, layer, scheme, less);
    gains.push_back(std::move(gain));
  }
  return gains;
}

}  // namespace octavo
