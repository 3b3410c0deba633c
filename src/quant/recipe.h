#pragma once
// What to do with each layer: an ordered list of `pattern -> scheme or keep`, first match wins.
//   # comment
//   transformer/transformer_blocks.*.ff.net.2   fp8dqrow        a scheme's name
//   transformer/*.attn.*                        w=i8/1x*/static/f32 a=i8/*x*/static/f32
//   transformer/*                               int8 solver=percentile:99.95
//   vae/decoder.*                               keep            # the reason that reports show
//   transformer/*.attn.to_?                     int4wo round=gptq clip=mse rotate low-rank=32
//   transformer/transformer_blocks.*.attn       attn-fp8        attention itself: q, k, v, weights
// A pattern is a glob over "component/layer" ('*' any characters, '?' one). Layers that match no
// line are kept. Lines with attention's schemes are for attentions alone ("component/module"),
// those with layers' schemes for layers, `keep` for both. The words behind a scheme
// (layer_words.h), in any order, say how its numbers are found.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/model_source.h"
#include "models/models.h"
#include "quant/layer_words.h"

namespace octavo {

struct RecipeRule {
  std::string pattern;
  std::optional<Scheme> scheme;              // of layers
  std::optional<AttentionScheme> attention;  // of attentions; neither: keep in float
  LayerWords how;
  std::string words;  // scheme as written
  std::string note;   // the comment behind it
  int line = 0;
};

struct Recipe {
  std::vector<RecipeRule> rules;
  std::string where = "recipe";  // file, for messages

  // Error{invalid_argument} names the file, line, word found and what is allowed.
  static Recipe parse(std::string_view text, const std::string& where);
  // `scheme` is what a line may say behind its pattern ("int8", "int8 solver=percentile:99.95").
  // Takes all quantizable layers of the transformer but the family's keep_float ones and those that
  // the scheme cannot hold (a group that does not divide their inputs), which get `keep` lines with
  // the reason as comment. "fp8+attn-fp8": and all attentions of the transformer.
  static Recipe for_scheme(std::string_view scheme, const ModelSource& model);
  // Parses to the same rules.
  std::string text() const;
  // The first rule that matches "component/layer"; nullptr when none does.
  const RecipeRule* match(std::string_view layer) const;
  const RecipeRule* match_attention(std::string_view attention) const;  // "component/module"
};

// What a recipe does to one layer.
struct CoverageRow {
  std::string component;
  QuantizableLayer layer;
  int rule = -1;  // index in Recipe::rules; -1: no line matched
  std::optional<Scheme> scheme;
  LayerWords how;
  std::string reason;     // why kept
  double parameters = 0;  // of the weight
  double flops = 0;       // at the component's extents, all methods
  std::string name() const { return component + "/" + layer.name; }
};

// What it does to one attention.
struct AttentionRow {
  std::string component;
  QuantizableAttention attention;
  int rule = -1;
  std::optional<AttentionScheme> scheme;
  LayerWords how;
  std::string reason;  // why kept, where a line says so
  double flops = 0;
  std::string name() const { return component + "/" + attention.name; }
};

struct ComponentCoverage {
  std::string component, extents;  // "B=1 S=64 T=64"
  int quantized_layers = 0, layers = 0, quantized_attentions = 0, attentions = 0;
  double quantized_parameters = 0, parameters = 0;  // of the whole component
  double quantized_flops = 0, flops = 0;
};

struct Coverage {
  std::vector<CoverageRow> rows;  // in the order of the graphs
  std::vector<AttentionRow> attentions;
  std::vector<ComponentCoverage> components;
};

// Builds every component's graphs from the configs alone. Operations are counted for one sample and
// 64 of everything else that a graph leaves open (tokens, height, width).
// Error{invalid_argument} when no layer is quantized at all, a line matches no layer (a typo), all
// of a line's layers belong to earlier lines, a scheme cannot hold a layer (a group that does not
// divide its inputs, ...), or the model is quantized already.
Coverage cover(const Recipe& recipe, const ModelSource& model);
std::string describe(const Coverage& coverage, bool every_layer);

// Does anything that it does to some layer need calibration statistics?
bool needs_statistics(const Recipe& recipe);

// Why a scheme cannot be applied to a layer in this way; empty when it can.
std::string obstacle(const Scheme& scheme, const LayerWords& how, const QuantizableLayer& layer);

}  // namespace octavo
