#pragma once
// The words of a recipe's line one by one: a layer solved again without each. Private to this
// floor.
#include "quant/explain/explain.h"
#include "quant/recipe.h"

namespace octavo {

// The words but one, for each that is not at its default: its text, and the others.
std::vector<std::pair<std::string, LayerWords>> without_each(const LayerWords& words);

// The layer is solved alone: what it shares with other layers of its input is its own here, with
// the word and without.
std::vector<WordGain> word_gains(const std::shared_ptr<const ModelSource>& model,
                                 const std::shared_ptr<const Stats>& stats,
                                 const std::string& layer, const Scheme& scheme,
                                 const LayerWords& words);

}  // namespace octavo
