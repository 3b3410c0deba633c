// Graphs of all families: sizes of published models from their configs alone, text form, names.
#include <set>

#include "base/glob.h"
#include "io/safetensors.h"
#include "models/model_source.h"
#include "stores.h"

namespace octavo {
namespace {

using test::golden;
using test::published;
using test::zoo;

// Parameters, tensors as their checkpoints' index files count them.
struct Published {
  const char* name;
  int64_t parameters;
  size_t tensors;
};
constexpr Published kPublished[] = {{"flux1-dev", 11901408320, 1160},
                                    {"flux1-schnell", 11891178560, 1156},
                                    {"flux-vae", 83819683, 244},
                                    {"sdxl-vae", 83653863, 248},
                                    {"t5-v1_1-xxl", 4762310656, 219}};

TEST(Graphs, ParametersOfPublishedModels) {
  for (const Published& model : kPublished) {
    const Config config = published(model.name);
    EXPECT_EQ(parameter_count(find_family(config), config), model.parameters) << model.name;
    EXPECT_EQ(test::tensors_of(config, false).size(), model.tensors) << model.name;
  }
}

int64_t flops(const Config& config, std::string_view method, const Bindings& extents) {
  const Graph graph = find_family(config).build(config, nullptr, method);
  int64_t sum = 0;
  for (const auto& [rate, dim] : flops_by_rate(graph)) sum += dim.eval(extents);
  return sum;
}

// In units of 10 GFLOP: 1024 x 1024 pictures, 512 text tokens.
TEST(Graphs, OperationsOfPublishedModels) {
  constexpr double kUnit = 1e10;
  const Config flux = published("flux1-dev"), vae = published("flux-vae");
  EXPECT_NEAR(flops(flux, "forward", {{"B", 1}, {"S", 4096}, {"T", 512}}) / kUnit, 7439, 1);
  EXPECT_NEAR(flops(vae, "decode", {{"B", 1}, {"H", 128}, {"W", 128}}) / kUnit, 1047, 1);
  EXPECT_NEAR(flops(vae, "encode", {{"B", 1}, {"H", 1024}, {"W", 1024}}) / kUnit, 488, 1);
}

// 6.49 TFLOP of 74 do not wait for the latent; the modulation is 3.23e9 multiply-adds.
TEST(Graphs, RatesOfFlux) {
  const Config config = published("flux1-dev");
  const Graph graph = find_family(config).build(config, nullptr, "forward");
  const std::map<Rate, Dim> by_rate = flops_by_rate(graph);
  const Bindings one{{"B", 1}, {"S", 0}, {"T", 0}};
  const int64_t modulation = 2 * 3072 * (19 * 2 * 6 + 38 * 3 + 2) * int64_t{3072};
  EXPECT_EQ(by_rate.at(Rate::trajectory).eval(one), modulation);
  const auto rate = [&](std::string_view name) { return graph.value(*graph.find(name)).rate; };
  EXPECT_EQ(rate("context_embedder"), Rate::request);
  EXPECT_EQ(rate("pos_embed.table"), Rate::request);
  EXPECT_EQ(rate("time_text_embed.timestep_embedder.linear_2"), Rate::schedule);
  EXPECT_EQ(rate("time_text_embed.guidance_embedder.linear_2"), Rate::request);
  EXPECT_EQ(rate("single_transformer_blocks.37.norm.linear"), Rate::trajectory);
  EXPECT_EQ(rate("transformer_blocks.0.attn.to_q"), Rate::step);
  EXPECT_EQ(rate("transformer_blocks.0.attn.add_q_proj"), Rate::trajectory);
  EXPECT_EQ(rate("transformer_blocks.1.attn.add_q_proj"), Rate::step);
}

std::vector<std::string> input_names(const Graph& graph) {
  std::vector<std::string> names;
  for (ValueId id : graph.inputs()) names.push_back(graph.value(id).name);
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Graphs, InputsAndOutputsAreTheLibrarys) {
  using Names = std::vector<std::string>;
  const auto build = [](const char* name, const char* method) {
    const Config config = published(name);
    return find_family(config).build(config, nullptr, method);
  };
  const Names flux{"encoder_hidden_states", "hidden_states", "img_ids",
                   "pooled_projections",    "timestep",      "txt_ids"};
  EXPECT_EQ(input_names(build("flux1-schnell", "forward")), flux);
  Names dev = flux;
  dev.insert(dev.begin() + 1, "guidance");
  EXPECT_EQ(input_names(build("flux1-dev", "forward")), dev);
  EXPECT_EQ(build("flux1-dev", "forward").outputs()[0].name, "sample");
  EXPECT_EQ(input_names(build("sdxl-vae", "encode")), Names{"x"});
  EXPECT_EQ(build("sdxl-vae", "encode").outputs()[0].name, "latent_dist.parameters");
  EXPECT_EQ(input_names(build("sdxl-vae", "decode")), Names{"z"});
  EXPECT_EQ(build("sdxl-vae", "decode").outputs()[0].name, "sample");
  const Graph t5 = build("t5-v1_1-xxl", "forward");
  EXPECT_EQ(input_names(t5), (Names{"attention_mask", "input_ids"}));
  EXPECT_EQ(t5.outputs()[0].name, "last_hidden_state");
}

TEST(Graphs, TextFormRoundTrips) {
  for (const char* name :
       {"flux_dev", "flux_schnell", "autoencoder_kl_flux", "autoencoder_kl_sdxl", "t5_encoder"}) {
    const ComponentSource source = open_component(golden(name));
    const Family& family = find_family(source.config);
    for (const char* method : family.methods) {
      const Graph graph = family.build(source.config, source.weights.get(), method);
      verify(graph, "building");
      const std::string text = to_text(graph);
      const Graph parsed = parse_graph(text, name);
      verify(parsed, "parsing");
      EXPECT_EQ(to_text(parsed), text);
      EXPECT_EQ(graph.name, fmt::format("{}.{}", family.class_name, method));
    }
  }
}

// Extents of the symbols in the inputs of a golden case.
Bindings bindings_of(const Graph& graph, const SafetensorsFile& io) {
  const std::map<std::string, std::string> argument{{"x", "sample"}, {"z", "latents"}};
  Bindings bindings;
  for (ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    const auto other = argument.find(value.name);
    const std::string name = other == argument.end() ? value.name : other->second;
    const Shape& shape = io.entry("in." + name).shape;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (!value.type.shape[i].is_constant()) bindings[value.type.shape[i].text()] = shape[i];
    }
  }
  return bindings;
}

// Every tap of the goldens (a submodule's output in the library) is a value of that name and shape.
TEST(Graphs, ModulePathsOfTheLibraryAreValues) {
  for (const char* name :
       {"flux_dev", "flux_schnell", "autoencoder_kl_flux", "autoencoder_kl_sdxl", "t5_encoder"}) {
    const Config config = Config::load(golden(name) / "config.json");
    const auto io = SafetensorsFile::open(golden(name) / "io.safetensors");
    const Family& family = find_family(config);
    std::set<std::string> seen;
    for (const char* method : family.methods) {
      const Graph graph = family.build(config, nullptr, method);
      const Bindings bindings = bindings_of(graph, *io);
      for (const auto& [key, entry] : io->entries()) {
        const std::optional<ValueId> id = graph.find(key.substr(key.find('.') + 1));
        if (!key.starts_with("tap.") || !id) continue;
        EXPECT_EQ(evaluate(graph.value(*id).type.shape, bindings), entry.shape) << key;
        seen.insert(key);
      }
    }
    size_t taps = 0;
    for (const auto& [key, entry] : io->entries()) taps += key.starts_with("tap.");
    EXPECT_EQ(seen.size(), taps) << name;
  }
}

// zoo/sensitivity.py quantizes 44 linears of the blocks with 6.29 M parameters.
TEST(Graphs, KeepFloatLeavesTheLinearsOfTheBlocks) {
  const ComponentSource source = open_component(zoo() / "transformer");
  const Family& family = find_family(source.config);
  const Graph graph = family.build(source.config, source.weights.get(), "forward");
  int64_t layers = 0, parameters = 0;
  for (const QuantizableLayer& layer : quantizable_layers(graph)) {
    const bool kept =
        std::any_of(family.keep_float.begin(), family.keep_float.end(),
                    [&](const char* pattern) { return glob_match(pattern, layer.name); });
    const bool in_block = layer.name.find("transformer_blocks.") != std::string::npos &&
                          layer.name.find(".norm") == std::string::npos;
    EXPECT_EQ(kept, !in_block) << layer.name;
    EXPECT_EQ(layer.op, Op::linear);
    EXPECT_EQ(layer.dtype, DType::bf16);
    EXPECT_TRUE(graph.find(layer.input)) << layer.input;
    if (kept) continue;
    ++layers;
    parameters += element_count(layer.weight_shape);
  }
  EXPECT_EQ(layers, 44);
  EXPECT_EQ(parameters, 6291456);
}

TEST(Graphs, QuantizableLayersSayWhatTheyAre) {
  const ComponentSource source = open_component(zoo() / "vae");
  const Graph graph =
      find_family(source.config).build(source.config, source.weights.get(), "decode");
  const std::vector<QuantizableLayer> layers = quantizable_layers(graph);
  const auto at = [&](const std::string& name) {
    for (const QuantizableLayer& layer : layers) {
      if (layer.name == name) return layer;
    }
    ADD_FAILURE() << name << " is not there";
    return layers.at(0);
  };
  const QuantizableLayer conv = at("decoder.up_blocks.2.resnets.0.conv_shortcut");
  EXPECT_EQ(conv.op, Op::conv2d);
  EXPECT_EQ(conv.weight_shape, (Shape{64, 96, 1, 1}));
  EXPECT_EQ(conv.dtype, DType::f16);
  EXPECT_EQ(conv.input, "decoder.up_blocks.1.upsamplers.0.conv");
  EXPECT_EQ(conv.flops.eval({{"B", 2}, {"H", 3}, {"W", 5}}), 2 * 64 * 96 * 2 * 12 * 20);
  EXPECT_EQ(at("decoder.conv_in").input, "z");
  EXPECT_EQ(at("decoder.mid_block.attentions.0.to_q").op, Op::linear);
}

TEST(Graphs, DefaultInputs) {
  const Config config = published("t5-v1_1-xxl");
  const Graph graph = find_family(config).build(config, nullptr, "forward");
  std::map<std::string, Tensor> inputs{{"input_ids", Tensor::zeros(DType::i64, {2, 3})}};
  fill_default_inputs(graph, inputs);
  const Tensor& mask = inputs.at("attention_mask");
  EXPECT_EQ(mask.dtype(), DType::i64);
  EXPECT_EQ(mask.shape(), (Shape{2, 3}));
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(mask.as<int64_t>()[i], 1);

  const Tensor given = Tensor::zeros(DType::i64, {2, 3});
  inputs["attention_mask"] = given;
  fill_default_inputs(graph, inputs);
  EXPECT_TRUE(test::equal_bytes(inputs.at("attention_mask"), given));

  const Config flux = published("flux1-dev");
  std::map<std::string, Tensor> none;
  fill_default_inputs(find_family(flux).build(flux, nullptr, "forward"), none);
  EXPECT_TRUE(none.empty());
}

}  // namespace
}  // namespace octavo
