#pragma once
// Model families: config + weights -> graph. One family a file; families.cc is the table.
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "io/json.h"
#include "io/weights.h"

namespace octavo {

// An input that callers may leave out: it is then filled with `fill`, in the shape that the graph
// declares under the extents of the inputs that are there.
struct InputDefault {
  const char* method;
  const char* input;  // "attention_mask"
  int64_t fill;
};

// A method of a component, named as in diffusers/transformers: "forward", "encode", "decode".
struct Family {
  const char* class_name;            // "FluxTransformer2DModel", "AutoencoderKL", "T5EncoderModel"
  const char* role;                  // the component's name in a pipeline: "transformer"
  std::vector<const char*> methods;  // first is the default
  // weights == nullptr builds the graph from the config alone (constants typed, without data).
  // Missing tensors and wrong shapes: Error names file, tensor, found, expected. Input names are
  // the method's argument names ("added_cond_kwargs.text_embeds"), output names the result's
  // fields. Values are named by module path; a module that returns a tuple names them "path:i".
  // Where another value already bears that name, a copy that nothing uses stands in for taps (dead
  // code unless tapped).
  Graph (*build)(const Config& config, const WeightStore* weights, std::string_view method);
  // Names a checkpoint may hold that no method reads (tied copies, buffers), as glob patterns.
  std::vector<const char*> ignorable;
  // Layers that named schemes leave in float unless a recipe says otherwise (globs of layer names).
  std::vector<const char*> keep_float;
  std::vector<InputDefault> defaults;
};

std::span<const Family> family_table();
// By config.json's _class_name (diffusers) or architectures[0] (transformers); Error lists
// families.
const Family& find_family(const Config& config);

// Adds the inputs that are missing and have a default. `graph` is one that a family built, also
// after passes: its name says "class.method". Inputs without a default stay missing.
void fill_default_inputs(const Graph& graph, std::map<std::string, Tensor>& inputs);

// Checks that the store holds exactly the tensors that the family's methods read, of the right
// shapes and float types: Error{bad_file} names the missing and unexpected ones (first few and how
// many).
void check_weights(const Family& family, const Config& config, const WeightStore& weights);

// Error{not_finite} with file, tensor, index and value of the first NaN or Inf. Reads everything,
// on all threads.
void check_finite(const WeightStore& weights);
void check_finite(const WeightStore& weights, const std::string& name);  // one tensor

// A store that renames another layout's keys to diffusers' (Flux's original single-file names, with
// or without "model.diffusion_model."; attention names of older autoencoders; T5's embedding under
// its second name), or the store itself when its names are diffusers' already.
std::shared_ptr<const WeightStore> adapt_layout(const Family& family, const Config& config,
                                                std::shared_ptr<const WeightStore> weights);

// Flux from a lone checkpoint in either layout: every size follows from the weights' shapes, the
// rotary axes from the head size (1/8, 7/16, 7/16 of it, as in all published models). Error
// {bad_file} says which tensor is missing or why it is not Flux.
Config flux_config_from_weights(const WeightStore& weights);

// Layers that can be quantized: linears and convolutions whose weight is a constant.
struct QuantizableLayer {
  std::string name;  // "transformer_blocks.0.attn.to_q"
  Op op;
  Shape weight_shape;
  DType dtype;  // of the stored weight; codes' format where it is quantized already
  Rate rate;
  Dim flops;
  std::string input;  // value name of the layer's input in the built graph
};
std::vector<QuantizableLayer> quantizable_layers(const Graph& graph);

// Attentions, by the module that they belong to.
struct QuantizableAttention {
  std::string name;  // "transformer_blocks.0.attn"
  Rate rate;
  Dim flops;
  std::string q, k, v;  // value names of the operands in the built graph
};
std::vector<QuantizableAttention> quantizable_attentions(const Graph& graph);

int64_t parameter_count(const Graph& graph);  // constants that stand for checkpoint tensors
// Of all methods together, each tensor once.
int64_t parameter_count(const Family& family, const Config& config);

}  // namespace octavo
