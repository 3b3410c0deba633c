// Other layouts of keys. The original Flux names are written here from the published conversion
// (diffusers loaders/single_file_utils.py), in the other direction than the code under test.
#include "base/atomic_file.h"
#include "io/safetensors.h"
#include "models/model_source.h"
#include "stores.h"

namespace octavo {
namespace {

using test::all_tensors;
using test::expect_error;
using test::golden;
using test::MapStore;
using Tensors = std::map<std::string, Tensor>;

Tensor joined(const std::vector<Tensor>& parts) {
  Shape shape = parts[0].shape();
  shape[0] = 0;
  for (const Tensor& part : parts) shape[0] += part.dim(0);
  Tensor result = Tensor::empty(parts[0].dtype(), shape);
  auto* out = result.as_mutable<char>();
  for (const Tensor& part : parts) {
    std::memcpy(out, part.data(), part.bytes());
    out += part.bytes();
  }
  return result;
}

// Moves tensors of diffusers' names to the original ones.
class Originals {
 public:
  explicit Originals(Tensors source) : source_(std::move(source)) {}

  Tensors run(int blocks, int single_blocks) {
    layer("img_in", {"x_embedder"});
    layer("txt_in", {"context_embedder"});
    embedder("time_in", "timestep");
    embedder("vector_in", "text");
    if (source_.count("time_text_embed.guidance_embedder.linear_1.bias")) {
      embedder("guidance_in", "guidance");
    }
    for (int i = 0; i < blocks; ++i) block(i);
    for (int i = 0; i < single_blocks; ++i) single(i);
    layer("final_layer.linear", {"proj_out"});
    for (const char* leaf : {".weight", ".bias"}) {  // scale, shift -> shift, scale
      const Tensor tensor = take(std::string("norm_out.linear") + leaf);
      const int64_t half = tensor.dim(0) / 2;
      result_[std::string("final_layer.adaLN_modulation.1") + leaf] =
          joined({tensor.rows(half, 2 * half), tensor.rows(0, half)});
    }
    EXPECT_TRUE(source_.empty()) << source_.begin()->first;
    return result_;
  }

 private:
  Tensor take(const std::string& name) {
    EXPECT_TRUE(source_.count(name)) << name;
    const Tensor tensor = source_[name];
    source_.erase(name);
    return tensor;
  }
  void layer(const std::string& to, const std::vector<std::string>& from) {
    for (const char* leaf : {".weight", ".bias"}) {
      std::vector<Tensor> parts;
      for (const std::string& name : from) parts.push_back(take(name + leaf));
      result_[to + leaf] = joined(parts);
    }
  }
  void embedder(const std::string& to, const std::string& from) {
    layer(to + ".in_layer", {"time_text_embed." + from + "_embedder.linear_1"});
    layer(to + ".out_layer", {"time_text_embed." + from + "_embedder.linear_2"});
  }
  void norm(const std::string& to, const std::string& from) {
    result_[to + ".scale"] = take(from + ".weight");
  }

  void block(int i) {
    const std::string to = fmt::format("double_blocks.{}.", i);
    const std::string from = fmt::format("transformer_blocks.{}.", i), attn = from + "attn.";
    layer(to + "img_mod.lin", {from + "norm1.linear"});
    layer(to + "txt_mod.lin", {from + "norm1_context.linear"});
    layer(to + "img_attn.qkv", {attn + "to_q", attn + "to_k", attn + "to_v"});
    layer(to + "txt_attn.qkv", {attn + "add_q_proj", attn + "add_k_proj", attn + "add_v_proj"});
    norm(to + "img_attn.norm.query_norm", attn + "norm_q");
    norm(to + "img_attn.norm.key_norm", attn + "norm_k");
    norm(to + "txt_attn.norm.query_norm", attn + "norm_added_q");
    norm(to + "txt_attn.norm.key_norm", attn + "norm_added_k");
    layer(to + "img_attn.proj", {attn + "to_out.0"});
    layer(to + "txt_attn.proj", {attn + "to_add_out"});
    layer(to + "img_mlp.0", {from + "ff.net.0.proj"});
    layer(to + "img_mlp.2", {from + "ff.net.2"});
    layer(to + "txt_mlp.0", {from + "ff_context.net.0.proj"});
    layer(to + "txt_mlp.2", {from + "ff_context.net.2"});
  }

  void single(int i) {
    const std::string to = fmt::format("single_blocks.{}.", i);
    const std::string from = fmt::format("single_transformer_blocks.{}.", i), attn = from + "attn.";
    layer(to + "modulation.lin", {from + "norm.linear"});
    layer(to + "linear1", {attn + "to_q", attn + "to_k", attn + "to_v", from + "proj_mlp"});
    layer(to + "linear2", {from + "proj_out"});
    norm(to + "norm.query_norm", attn + "norm_q");
    norm(to + "norm.key_norm", attn + "norm_k");
  }

  Tensors source_, result_;
};

Tensors prefixed(const Tensors& tensors, const std::string& prefix) {
  Tensors result;
  for (const auto& [name, tensor] : tensors) result[prefix + name] = tensor;
  return result;
}

void expect_same(const WeightStore& a, const WeightStore& b) {
  EXPECT_EQ(a.names(), b.names());
  for (const std::string& name : b.names()) {
    EXPECT_EQ(a.type(name).shape, b.type(name).shape) << name;
    EXPECT_TRUE(test::equal_bytes(a.tensor(name), b.tensor(name))) << name;
    a.release(name);
  }
}

class OriginalFlux : public ::testing::TestWithParam<const char*> {
 protected:
  ComponentSource source_ = open_component(golden(GetParam()));
  Tensors original_ = Originals(all_tensors(*source_.weights)).run(2, 3);
  test::TempFolder folder_;
};

TEST_P(OriginalFlux, LoadsFromOneFile) {
  save_safetensors(folder_.file("flux.safetensors"), original_);
  write_file(folder_.file("config.json"), source_.config.json().dump());
  EXPECT_LT(original_.size(), source_.weights->names().size());
  const ComponentSource folder = open_component(folder_.path());
  expect_same(*folder.weights, *source_.weights);
  expect_same(*open_component(folder_.file("flux.safetensors")).weights, *source_.weights);
  EXPECT_NE(folder.weights->where("x_embedder.bias").find("(as \"img_in.bias\")"),
            std::string::npos);
}

// In a whole pipeline's file the transformer is one part among others.
TEST_P(OriginalFlux, LoadsFromAPipelinesFile) {
  Tensors whole = prefixed(original_, "model.diffusion_model.");
  whole["first_stage_model.decoder.conv_in.weight"] = Tensor::scalar(1);
  whole["text_encoders.t5xxl.shared.weight"] = Tensor::scalar(1);
  save_safetensors(folder_.file("flux.safetensors"), whole);
  write_file(folder_.file("config.json"), source_.config.json().dump());
  expect_same(*open_component(folder_.path()).weights, *source_.weights);
}

TEST_P(OriginalFlux, GivesTheSameGraph) {
  const auto weights = adapt_layout(find_family(source_.config), source_.config,
                                    std::make_shared<MapStore>(original_));
  const Family& family = find_family(source_.config);
  EXPECT_EQ(to_text(family.build(source_.config, weights.get(), "forward")),
            to_text(family.build(source_.config, source_.weights.get(), "forward")));
}

// Projections of a fused tensor are views of it, so that nothing is held twice.
TEST_P(OriginalFlux, PartsAreViews) {
  const auto store = std::make_shared<MapStore>(original_);
  const auto weights = adapt_layout(find_family(source_.config), source_.config, store);
  const Tensor fused = store->tensor("single_blocks.1.linear1.weight");
  const Tensor value = weights->tensor("single_transformer_blocks.1.attn.to_v.weight");
  EXPECT_EQ(value.data(), fused.rows(2 * fused.dim(0) / 7, 3 * fused.dim(0) / 7).data());
}

TEST_P(OriginalFlux, UnknownAndRaggedTensorsAreNamed) {
  original_["double_blocks.0.img_attn.surplus.weight"] = Tensor::scalar(1);
  const auto open = [&] {
    save_safetensors(folder_.file("flux.safetensors"), original_);
    write_file(folder_.file("config.json"), source_.config.json().dump());
    open_component(folder_.path());
  };
  expect_error(test::error_of(open), ErrorCode::bad_file,
               {"flux.safetensors", "1 unexpected: \"double_blocks.0.img_attn.surplus.weight\""});
  original_.erase("double_blocks.0.img_attn.surplus.weight");
  original_["double_blocks.1.txt_attn.qkv.bias"] = Tensor::zeros(DType::f32, {190});
  expect_error(
      test::error_of(open), ErrorCode::bad_file,
      {"flux.safetensors", "double_blocks.1.txt_attn.qkv.bias", "190 rows", "multiple of 3"});
}

INSTANTIATE_TEST_SUITE_P(Goldens, OriginalFlux, ::testing::Values("flux_dev", "flux_schnell"),
                         [](const auto& suite) { return std::string(suite.param); });

// All keys of a config that decide what is built.
void expect_same_model(const Config& told, const Config& config) {
  const Family& family = find_family(config);
  EXPECT_EQ(&find_family(told), &family);
  EXPECT_EQ(to_text(family.build(told, nullptr, "forward")),
            to_text(family.build(config, nullptr, "forward")));
}

TEST(FluxConfigFromWeights, OfPublishedModels) {
  for (const char* name : {"flux1-dev", "flux1-schnell"}) {
    const Config config = test::published(name);
    expect_same_model(flux_config_from_weights(MapStore(test::tensors_of(config, false))), config);
  }
}

// A Flux of the usual proportions, small.
Config small_flux() {
  nlohmann::json json = test::published("flux1-schnell").json();
  json.update({{"num_layers", 1},
               {"num_single_layers", 2},
               {"attention_head_dim", 32},
               {"num_attention_heads", 2},
               {"axes_dims_rope", {4, 14, 14}},
               {"in_channels", 8},
               {"out_channels", 12},
               {"joint_attention_dim", 40},
               {"pooled_projection_dim", 24}});
  return Config(json, "config.json");
}

TEST(FluxConfigFromWeights, OfOneFileWithoutConfig) {
  const Config config = small_flux();
  const Tensors named = test::tensors_of(config, true), original = Originals(named).run(1, 2);
  const MapStore expected(named);
  const test::TempFolder folder;
  for (const Tensors& tensors : {original, prefixed(original, "model.diffusion_model."), named}) {
    save_safetensors(folder.file("flux.safetensors"), tensors);
    for (const std::string& path : {folder.file("flux.safetensors"), folder.path().string()}) {
      const ComponentSource told = open_component(path);
      expect_same_model(told.config, config);
      expect_same(*told.weights, expected);
    }
    const auto model = open_model(folder.file("flux.safetensors"));
    EXPECT_EQ(model->components(), std::vector<std::string>{"transformer"});
  }
}

TEST(FluxConfigFromWeights, OfTheZoo) {
  const ComponentSource source = open_component(test::zoo() / "transformer");
  expect_same_model(flux_config_from_weights(*source.weights), source.config);
}

TEST(FluxConfigFromWeights, SaysWhyItCannot) {
  // Head size 16: the rotary axes of the golden model cannot be told.
  const ComponentSource small = open_component(golden("flux_dev"));
  expect_error(test::error_of([&] { flux_config_from_weights(*small.weights); }),
               ErrorCode::bad_file, {"head size 16", "config.json"});
  expect_error(test::error_of([&] { flux_config_from_weights(MapStore({})); }), ErrorCode::bad_file,
               {"without tensors"});
  expect_error(test::error_of([&] {
                 flux_config_from_weights(MapStore({{"a.weight", Tensor::scalar(1)}}));
               }),
               ErrorCode::bad_file, {"memory", "not Flux's", "config.json"});
  Tensors some = test::tensors_of(test::published("flux1-dev"), false);
  some.erase("time_text_embed.text_embedder.linear_1.weight");
  expect_error(test::error_of([&] { flux_config_from_weights(MapStore(some)); }),
               ErrorCode::bad_file, {"time_text_embed.text_embedder.linear_1.weight"});
  some["x_embedder.weight"] = Tensor::scalar(1);
  expect_error(test::error_of([&] { flux_config_from_weights(MapStore(some)); }),
               ErrorCode::bad_file, {"x_embedder.weight", "shape []"});
}

TEST(OtherLayouts, AttentionOfOlderAutoencoders) {
  const ComponentSource source = open_component(golden("autoencoder_kl_sdxl"));
  Tensors old;
  for (const auto& [name, tensor] : all_tensors(*source.weights)) {
    std::string renamed = name;
    for (const auto& [from, to] : std::map<std::string, std::string>{{"to_q.", "query."},
                                                                     {"to_k.", "key."},
                                                                     {"to_v.", "value."},
                                                                     {"to_out.0.", "proj_attn."}}) {
      const size_t at = renamed.find(from);
      if (at != std::string::npos) renamed.replace(at, from.size(), to);
    }
    old[renamed] = tensor;
  }
  EXPECT_TRUE(old.count("decoder.mid_block.attentions.0.proj_attn.bias"));
  const auto adapted =
      adapt_layout(find_family(source.config), source.config, std::make_shared<MapStore>(old));
  expect_same(*adapted, *source.weights);
}

TEST(OtherLayouts, EmbeddingUnderItsSecondName) {
  const ComponentSource source = open_component(golden("t5_encoder"));
  Tensors tensors = all_tensors(*source.weights);
  tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"];
  tensors.erase("shared.weight");
  const auto adapted =
      adapt_layout(find_family(source.config), source.config, std::make_shared<MapStore>(tensors));
  expect_same(*adapted, *source.weights);
}

TEST(OtherLayouts, DiffusersNamesStayTheStoreItself) {
  for (const char* name : {"flux_dev", "autoencoder_kl_flux", "t5_encoder"}) {
    const ComponentSource source = open_component(golden(name));
    EXPECT_EQ(adapt_layout(find_family(source.config), source.config, source.weights),
              source.weights);
  }
}

}  // namespace
}  // namespace octavo
