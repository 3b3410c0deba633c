#include "quant/quantize_model.h"

#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/threads.h"
#include "run/component.h"
#include "support.h"
#include "zoo.h"

namespace octavo {
namespace {

using test::error_of;
using test::zoo;

class QuantizeModel : public testing::Test {
 protected:
  void SetUp() override { set_progress_enabled(false); }
  void TearDown() override { set_progress_enabled(true); }
  std::string file(const std::string& name = "a.safetensors") const { return folder_.file(name); }
  size_t files_in_folder() const {
    size_t n = 0;
    for ([[maybe_unused]] const auto& e : std::filesystem::directory_iterator(folder_.path())) ++n;
    return n;
  }
  test::TempFolder folder_;
};

// Every tensor and every quantized layer of two models, bit for bit.
void expect_same_weights(const ModelSource& a, const ModelSource& b) {
  ASSERT_EQ(a.components(), b.components());
  for (const std::string& component : a.components()) {
    EXPECT_EQ(a.config(component).json(), b.config(component).json());
    const auto x = a.weights(component), y = b.weights(component);
    ASSERT_EQ(x->names(), y->names());
    for (const std::string& name : x->names()) {
      EXPECT_EQ(x->type(name).dtype, y->type(name).dtype) << name;
      ASSERT_TRUE(same_bytes(x->tensor(name), y->tensor(name))) << name;
      if (!name.ends_with(".weight")) continue;
      const std::string layer = name.substr(0, name.size() - 7);
      const auto p = x->quantized(layer), q = y->quantized(layer);
      ASSERT_EQ(p.has_value(), q.has_value()) << name;
      if (!p) continue;
      EXPECT_EQ(p->weight.spec, q->weight.spec) << name;
      EXPECT_EQ(p->activation, q->activation) << name;
      ASSERT_TRUE(same_bytes(p->weight.codes, q->weight.codes)) << name;
      ASSERT_TRUE(same_bytes(p->weight.scale, q->weight.scale)) << name;
      ASSERT_TRUE(same_bytes(p->weight.tensor_scale, q->weight.tensor_scale)) << name;
      ASSERT_TRUE(same_bytes(p->weight.zero_point, q->weight.zero_point)) << name;
      ASSERT_TRUE(same_bytes(p->input_scale, q->input_scale)) << name;
    }
  }
}

TEST_F(QuantizeModel, EverySchemeOfTheTableIsWrittenAndReadAgain) {
  const Stats stats = test::made_up_stats(*zoo());
  for (const NamedScheme& row : scheme_table()) {
    SCOPED_TRACE(row.name);
    const Recipe recipe = Recipe::for_scheme(row.name, *zoo());
    const Coverage coverage = quantize_model(zoo(), recipe, &stats, file());
    EXPECT_EQ(coverage.components.size(), 3u);
    const auto artifact = open_model(file());
    EXPECT_EQ(artifact->recipe(), recipe.text());
    EXPECT_EQ(artifact->pipeline().json(), zoo()->pipeline().json());
    EXPECT_EQ(artifact->prompts("known"), zoo()->prompts("known"));
    EXPECT_EQ(artifact->prompts("novel"), zoo()->prompts("novel"));
    expect_same_weights(*artifact, *quantized_view(zoo(), recipe, &stats));
    const bool is_static =
        row.scheme.activation && row.scheme.activation->timing == QuantSpec::Timing::static_;
    EXPECT_EQ(Artifact::open(file())->manifest().stats_hash, is_static ? stats.hash() : "");
  }
}

TEST_F(QuantizeModel, ConvolutionsInEveryWidth) {
  const Recipe recipe = Recipe::parse(
      "vae/decoder.mid_block.* w=i4/1x*/static/f16/zp a=i8/*x*/dynamic/f32\n"
      "vae/decoder.up_blocks.0.* fp6_e3m2\n"
      "vae/decoder.up_blocks.1.* fp5_e2m2\n"
      "vae/decoder.up_blocks.2.* w=e2m1/1x16/static/e8m0\n"
      "vae/encoder.* int8wo\n"
      "text_encoder/* int8dq\n",
      "x");
  quantize_model(zoo(), recipe, nullptr, file());
  expect_same_weights(*open_model(file()), *quantized_view(zoo(), recipe, nullptr));
}

// Whatever scheme of the table a convolution can have is written, read and runs; groups of its
// input are what it cannot have.
TEST_F(QuantizeModel, EverySchemeOnAConvolutionOrTheReason) {
  const Stats stats = test::made_up_stats(*zoo());
  const std::string layer = "vae/decoder.up_blocks.2.resnets.0.conv2";  // of 64 channels
  const auto decoded = [](const ModelSource& source) {
    const Config config = source.config("vae");
    Graph graph = find_family(config).build(config, source.weights("vae").get(), "decode");
    const TensorMap inputs{
        {graph.value(graph.inputs()[0]).name, test::random_tensor({1, 8, 2, 2}, 3)}};
    return Component(std::move(graph), {}).run(inputs).begin()->second;
  };
  const Tensor whole = decoded(*zoo());
  int refused = 0;
  for (const NamedScheme& row : scheme_table()) {
    SCOPED_TRACE(row.name);
    const Recipe recipe = Recipe::parse(layer + " " + row.name, "x");
    const bool groups = row.scheme.activation && row.scheme.activation->tile_cols != 0;
    if (groups || row.scheme.weight.tile_cols == 128) {
      const std::string what = error_of([&] { cover(recipe, *zoo()); }).what();
      EXPECT_NE(what.find(groups ? "has one scale a tensor" : "K = 576"), what.npos) << what;
      ++refused;
      continue;
    }
    quantize_model(zoo(), recipe, &stats, file());
    const auto model = open_model(file());
    expect_same_weights(*model, *quantized_view(zoo(), recipe, &stats));
    const Tensor made = decoded(*model);
    EXPECT_FALSE(same_bytes(made, whole));
    for (const float v : made.to_floats()) ASSERT_TRUE(std::isfinite(v));
  }
  EXPECT_EQ(refused, 7) << "w4a4, mxfp8, mxfp8-up, mxfp6, mxfp4, nvfp4; int4wo-zp";
}

TEST_F(QuantizeModel, SparseCodesAreStoredInHalf) {
  const Recipe sparse = Recipe::parse("transformer/*.ff.net.? int8wo sparse=2:4", "x");
  quantize_model(zoo(), sparse, nullptr, file());
  const auto model = open_model(file());
  expect_same_weights(*model, *quantized_view(zoo(), sparse, nullptr));
  const auto layer = model->weights("transformer")->quantized("transformer_blocks.0.ff.net.2");
  EXPECT_TRUE(layer->two_of_four);
  const auto bytes = std::filesystem::file_size(file());
  quantize_model(zoo(), Recipe::parse("transformer/*.ff.net.? int8wo", "x"), nullptr, file());
  // Two layers of 256 x 1024: 3 of 8 bits less each.
  EXPECT_NEAR(static_cast<double>(std::filesystem::file_size(file()) - bytes),
              2 * 256 * 1024 * 3 / 8.0, 1000);
}

TEST_F(QuantizeModel, SameBytesOnAnyThreadCount) {
  const Stats stats = test::made_up_stats(*zoo());
  const Recipe recipe = Recipe::for_scheme("int8", *zoo());
  std::string first;
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    quantize_model(zoo(), recipe, &stats, file());
    const std::string bytes = read_file(file());
    if (first.empty()) first = bytes;
    EXPECT_EQ(bytes == first, true) << threads << " threads";
  }
  set_thread_count(0);
}

TEST_F(QuantizeModel, RecipeAndStatsAreInTheViewsHash) {
  const Stats stats = test::made_up_stats(*zoo());
  Stats other = stats;
  StepStats& step = other.inputs.begin()->second.steps[0];
  step.absmax *= 2;
  step.channel_max[0] = step.absmax;
  const auto hash = [&](const char* scheme, const Stats& s) {
    return quantized_view(zoo(), Recipe::for_scheme(scheme, *zoo()), &s)->hash();
  };
  EXPECT_EQ(hash("int8", stats), hash("int8", stats));
  EXPECT_NE(hash("int8", stats), hash("int8", other));
  EXPECT_NE(hash("int8", stats), hash("fp8", stats));
  EXPECT_EQ(hash("int8wo", stats), hash("int8wo", other));
}

TEST_F(QuantizeModel, StaticSchemesNeedStatsOfThisModel) {
  const Recipe recipe = Recipe::for_scheme("int8", *zoo());
  const auto message = [&](const Stats* stats) {
    return std::string(error_of([&] { quantize_model(zoo(), recipe, stats, file()); }).what());
  };
  EXPECT_NE(message(nullptr).find("octavo calibrate"), std::string::npos);
  Stats stats = test::made_up_stats(*zoo());
  stats.model_hash = "0";
  EXPECT_NE(message(&stats).find("hash 0"), std::string::npos);
  stats = test::made_up_stats(*zoo());
  stats.layers.erase("transformer/transformer_blocks.1.attn.to_k");
  EXPECT_NE(message(&stats).find("transformer/transformer_blocks.1.attn.to_k"), std::string::npos);
  EXPECT_EQ(files_in_folder(), 0u);
}

TEST_F(QuantizeModel, ArtifactsAreNotQuantizedAgain) {
  const Recipe recipe = Recipe::for_scheme("int8wo", *zoo());
  quantize_model(zoo(), recipe, nullptr, file());
  const auto artifact = open_model(file());
  for (const auto& again : {artifact, quantized_view(zoo(), recipe, nullptr)}) {
    EXPECT_NE(
        std::string(error_of([&] { quantize_model(again, recipe, nullptr, file("b")); }).what())
            .find("quantized already"),
        std::string::npos);
  }
}

TEST_F(QuantizeModel, NotFiniteWeightsAreNamed) {
  for (const char* name : {"transformer_blocks.0.attn.to_q.weight", "x_embedder.bias"}) {
    const auto folder = test::changed_zoo(folder_.path(), [&](test::Tensors& tensors) {
      tensors.at(name).as_mutable<uint16_t>()[7] = 0x7f80;  // bf16 infinity
    });
    const auto model = open_model(folder);
    const Error error = error_of(
        [&] { quantize_model(model, Recipe::for_scheme("int8wo", *model), nullptr, file()); });
    EXPECT_EQ(error.code(), ErrorCode::not_finite);
    for (const std::string& word : {std::string(name), std::string("7"), std::string("inf"),
                                    (folder / "transformer").string()}) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
    std::filesystem::remove_all(folder);
    EXPECT_EQ(files_in_folder(), 0u);
  }
}

TEST_F(QuantizeModel, ZeroRowsAndWeightsAreOrdinary) {
  const std::string layer = "transformer_blocks.0.attn.to_q";
  const auto folder = test::changed_zoo(folder_.path(), [&](test::Tensors& tensors) {
    Tensor& w = tensors.at(layer + ".weight");
    std::memset(w.mutable_data(), 0, w.bytes() / 2);
    Tensor& v = tensors.at("transformer_blocks.0.attn.to_v.weight");
    std::memset(v.mutable_data(), 0, v.bytes());
  });
  const auto model = open_model(folder);
  for (const char* scheme : {"int8wo", "fp8dq", "int4wo", "int4wo-zp", "mxfp8"}) {
    quantize_model(model, Recipe::for_scheme(scheme, *model), nullptr, file());
    const auto store = open_model(file())->weights("transformer");
    for (const float s : store->quantized(layer)->weight.scale.to_floats()) EXPECT_GT(s, 0);
    const std::vector<float> w = store->tensor(layer + ".weight").to_floats();
    EXPECT_TRUE(std::all_of(w.begin(), w.begin() + 128 * 256, [](float v) { return v == 0; }));
    EXPECT_FALSE(std::all_of(w.begin(), w.end(), [](float v) { return v == 0; }));
  }
}

TEST_F(QuantizeModel, OutputThatCannotBe) {
  const Recipe recipe = Recipe::for_scheme("int8wo", *zoo());
  EXPECT_EQ(error_of([&] { quantize_model(zoo(), recipe, nullptr, file("no/a")); }).code(),
            ErrorCode::io);
  EXPECT_EQ(error_of([&] { quantize_model(zoo(), recipe, nullptr, folder_.path()); }).code(),
            ErrorCode::io);
}

TEST_F(QuantizeModel, CtrlCLeavesNothing) {
  install_interrupt_handler();
  raise(SIGINT);
  const Error error = error_of(
      [&] { quantize_model(zoo(), Recipe::for_scheme("int8wo", *zoo()), nullptr, file()); });
  clear_interrupt();
  EXPECT_EQ(error.code(), ErrorCode::cancelled);
  EXPECT_EQ(files_in_folder(), 0u);
}

}  // namespace
}  // namespace octavo
