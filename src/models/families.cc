#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"
#include "models/autoencoder_kl.h"
#include "models/flux.h"
#include "models/models.h"
#include "models/t5_encoder.h"

namespace octavo {
namespace {

const std::array kFamilies = {
    Family{.class_name = "FluxTransformer2DModel",
           .role = "transformer",
           .methods = {"forward"},
           .build = build_flux,
           .ignorable = {},
           // Modulation, embedders and output: few operations, and every error in them reaches
           // every token.
           .keep_float = {"*norm*.linear", "time_text_embed.*", "context_embedder", "x_embedder",
                          "proj_out"},
           .defaults = {}},
    Family{.class_name = "AutoencoderKL",
           .role = "vae",
           .methods = {"decode", "encode"},
           .build = build_autoencoder_kl,
           .ignorable = {},
           .keep_float = {"*.conv_in", "*.conv_out", "quant_conv", "post_quant_conv"},
           .defaults = {}},
    Family{.class_name = "T5EncoderModel",
           .role = "text_encoder",
           .methods = {"forward"},
           .build = build_t5_encoder,
           .ignorable = {"encoder.embed_tokens.weight", "decoder.*", "lm_head.weight"},
           .keep_float = {},
           .defaults = {{"forward", "attention_mask", 1}}},
};

std::string class_of(const Config& config) {
  if (config.has("_class_name")) return config.get_string("_class_name");
  if (config.has("architectures")) return config.get_strings("architectures").front();
  config.fail("_class_name", "the model's class (diffusers), or \"architectures\" (transformers)");
}

// Extents of symbols that are a whole dimension of an input that is there.
Bindings bindings_of(const Graph& graph, const std::map<std::string, Tensor>& inputs) {
  Bindings bindings;
  for (ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    const auto given = inputs.find(value.name);
    if (given == inputs.end()) continue;
    const Shape& shape = given->second.shape();
    for (size_t i = 0; i < std::min(shape.size(), value.type.shape.size()); ++i) {
      const Dim& dim = value.type.shape[i];
      if (!dim.is_constant() && dim == Dim::symbol(dim.text())) bindings[dim.text()] = shape[i];
    }
  }
  return bindings;
}

Tensor filled(DType dtype, const Shape& shape, int64_t fill) {
  Tensor tensor = Tensor::empty(DType::i64, shape);
  std::fill_n(tensor.as_mutable<int64_t>(), tensor.elements(), fill);
  return tensor.to(dtype);
}

}  // namespace

std::span<const Family> family_table() { return kFamilies; }

const Family& find_family(const Config& config) {
  const std::string wanted = class_of(config);
  std::string known;
  for (const Family& family : kFamilies) {
    if (wanted == family.class_name) return family;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.class_name);
  }
  OCTAVO_FAIL(unsupported, "{}: class \"{}\" is not known here; known classes: {}", config.where(),
              printable(wanted), known);
}

void fill_default_inputs(const Graph& graph, std::map<std::string, Tensor>& inputs) {
  for (const Family& family : kFamilies) {
    for (const InputDefault& row : family.defaults) {
      if (graph.name != fmt::format("{}.{}", family.class_name, row.method)) continue;
      const std::optional<ValueId> id = graph.find(row.input);
      if (!id || inputs.count(row.input)) continue;
      const ValueType& type = graph.value(*id).type;
      const Shape shape = evaluate(type.shape, bindings_of(graph, inputs));
      inputs.emplace(row.input, filled(type.dtype, shape, row.fill));
    }
  }
}

}  // namespace octavo
