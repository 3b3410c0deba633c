#pragma once
// What a search may do with each layer.
#include <string>
#include <string_view>
#include <vector>

#include "models/model_source.h"
#include "quant/recipe.h"

namespace octavo {

// What a line of a recipe says behind its pattern; "keep" leaves the layer in float.
struct Candidate {
  std::string text;
  std::optional<Scheme> scheme;  // empty: keep
  LayerWords how;
};

// "int8dq, w=i6/1x64/static/f16 round=gptq, keep". Error{invalid_argument} names the candidate that
// cannot be read, or stands twice.
std::vector<Candidate> parse_candidates(std::string_view text);
bool needs_statistics(const std::vector<Candidate>& candidates);

struct SearchedLayer {
  std::string component;
  QuantizableLayer layer;
  double parameters = 0;
  std::vector<size_t> possible;  // indices of candidates, ascending, not empty
  std::string name() const { return component + "/" + layer.name; }
};

struct SearchedLayers {
  std::vector<SearchedLayer> layers;
  // What stays in float, "component/layer": why. Only of layers that were asked for.
  std::vector<std::pair<std::string, std::string>> left_out;
};

// The linear layers of these globs over "component/layer"; none: those of the transformer that
// named schemes quantize. A layer that no candidate fits is left out, with the reason; Error when
// that leaves none, or a glob matches no linear layer.
SearchedLayers list_layers(const ModelSource& model, const std::vector<Candidate>& candidates,
                           const std::vector<std::string>& globs);

// The recipe that gives each layer the candidate `choice` says.
Recipe recipe_of(const std::vector<SearchedLayer>& layers, const std::vector<Candidate>& candidates,
                 const std::vector<size_t>& choice, const std::string& where,
                 const std::string& head = {});

}  // namespace octavo
