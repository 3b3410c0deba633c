#pragma once
// What to do with each layer: an ordered list of `pattern -> scheme or keep`, first match wins.
//   # comment
//   transformer/transformer_blocks.*.ff.net.2   fp8dqrow        a scheme's name
//   transformer/*.attn.*                        w=i8/1x*/static/f32 a=i8/*x*/static/f32
//   *                                           keep
// A pattern is a glob over "component/layer" ('*' any characters, '?' one). Layers that match no line
// are kept.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/model_source.h"
#include "models/models.h"

namespace octavo {

struct RecipeRule {
  std::string pattern;
  std::optional<Scheme> scheme;  // empty: keep in float
  int line = 0;
};

struct Recipe {
  std::vector<RecipeRule> rules;
  // Error names the file, line, word found and what is allowed.
  static Recipe parse(std::string_view text, const std::string& where);
  // All quantizable layers of the transformer but the family's keep_float ones.
  static Recipe for_scheme(std::string_view scheme, const ModelSource& model);
  std::string text() const;
  const RecipeRule* match(const std::string& layer) const;
};

// What a recipe does to a model, layer by layer.
struct CoverageRow {
  std::string component;
  QuantizableLayer layer;
  const RecipeRule* rule = nullptr;  // null: no line matched
  std::optional<Scheme> scheme;
  std::string reason;                // why kept
};
struct Coverage {
  std::vector<CoverageRow> rows;
  double quantized_parameters = 0, parameters = 0, quantized_flops = 0, flops = 0;
};
// Error{invalid_argument} when no layer is quantized at all, or a line matches nothing (typo).
Coverage cover(const Recipe& recipe, const ModelSource& model);
std::string describe(const Coverage& coverage, bool every_layer);

}  // namespace octavo
