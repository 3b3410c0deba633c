#pragma once
// Model families: config + weights -> graph. One family a file; families.cc is the table.
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "io/json.h"
#include "io/weights.h"

namespace octavo {

// A method of a component, named as in diffusers/transformers: "forward", "encode", "decode".
struct Family {
  const char* class_name;             // "FluxTransformer2DModel", "AutoencoderKL", "T5EncoderModel"
  std::vector<const char*> methods;   // first is the default
  // weights == nullptr builds the graph from the config alone (constants typed, without data).
  // Missing tensors and wrong shapes: Error names file, tensor, found, expected. Input names are the
  // method's argument names ("added_cond_kwargs.text_embeds"), output names the result's fields.
  Graph (*build)(const Config& config, const WeightStore* weights, std::string_view method);
  // Names a checkpoint may hold that no method reads (tied copies, buffers), as glob patterns.
  std::vector<const char*> ignorable;
  // Layers that named schemes leave in float unless a recipe says otherwise (globs of layer names).
  std::vector<const char*> keep_float;
};

std::span<const Family> family_table();
// By config.json's _class_name (diffusers) or architectures[0] (transformers); Error lists families.
const Family& find_family(const Config& config);

// Checks that the store holds exactly the tensors that the family's methods read: Error names the
// missing and unexpected ones (first few and how many).
void check_weights(const Family& family, const Config& config, const WeightStore& weights);

// A store that renames another layout's keys to diffusers' (Flux's original single-file names, with
// or without "model.diffusion_model."), or the store itself when its names are diffusers' already.
std::shared_ptr<const WeightStore> adapt_layout(const Family& family, const Config& config,
                                                std::shared_ptr<const WeightStore> weights);

// Layers that can be quantized: linears and convolutions whose weight is a constant.
struct QuantizableLayer {
  std::string name;   // "transformer_blocks.0.attn.to_q"
  Op op;
  Shape weight_shape;
  DType dtype;
  Rate rate;
  Dim flops;
  std::string input;  // value name of the layer's input in the built graph
};
std::vector<QuantizableLayer> quantizable_layers(const Graph& graph);

int64_t parameter_count(const Graph& graph);  // constants that stand for checkpoint tensors

}  // namespace octavo
