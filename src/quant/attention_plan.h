#pragma once
// What a recipe makes of attentions. Private to this floor.
#include <map>
#include <string>

#include "quant/recipe.h"
#include "quant/stats.h"

namespace octavo {

// The operand's name in statistics: "component/module.attention.q".
std::string attention_operand(const std::string& attention, const char* operand);

// Why attention cannot have a scheme with these words; empty when it can.
std::string obstacle(const LayerWords& how, const AttentionScheme& scheme);
bool is_static(const AttentionScheme& scheme);  // some operand by a calibrated scale

// "component/module" -> its scheme with the scales of static operands. `stats` may be nullptr where
// there are none.
std::map<std::string, QuantizedAttention> plan_attentions(const Coverage& coverage,
                                                          const Stats* stats);

}  // namespace octavo
