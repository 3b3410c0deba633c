#include "io/artifact.h"

#include "base/atomic_file.h"
#include "support.h"
#include "tensor/quantize.h"

namespace octavo {
namespace {

using test::error_of;

const char* const kSchemes[] = {
    "w=i8/1x*/static/f32",
    "w=i8/1x*/static/f32 a=i8/*x*/static/f32",
    "w=e4m3/*x*/static/f32 a=e4m3/1x*/dynamic/f32",
    "w=i4/1x4/static/f16",
    "w=i4/1x*/static/f16/zp",
    "w=i8/2x4/static/bf16/zp",
    "w=e3m2/1x*/static/f32",
    "w=e2m2/1x*/static/e8m0",
    "w=e2m1/1x4/static/e4m3",
    "w=i7/1x*/static/f32",
    "w=i6/1x4/static/f16",
    "w=i5/1x4/static/f16",
    "w=i3/1x4/static/f16",
    "w=i2/1x4/static/f16",
    "w=u8/1x4/static/f16/zp",
    "w=u5/1x4/static/f16/zp",
    "w=u1/1x*/static/f32/zp",
    "w=e4m3/1x4/static/mx",
    "w=e2m1/1x4/static/e4m3*f32",
};

// A file with one component "net" of one quantized layer "net/fc" and a bias.
class ArtifactFile : public testing::Test {
 protected:
  void make(const std::string& scheme, const Shape& shape) {
    manifest_.tool_version = "1";
    manifest_.recipe = "net/*  int8wo\n";
    manifest_.source_hash = "abc";
    manifest_.pipeline_json = "{}";
    manifest_.configs["net"] = R"({"_class_name":"Net"})";
    manifest_.layers["net/fc"] = {find_scheme(scheme), shape};
    manifest_.prompts["known"] = {"a \"b\"", "\xc3\xa9", ""};
    source_ = test::random_tensor(shape, 5);
    const auto [rows, cols] = matrix_extents(shape, MatrixView::weight);
    const Scheme& s = manifest_.layers["net/fc"].scheme;
    expected_ = quantize(source_, s.weight, MatrixView::weight);
    const QuantizedTensor q =
        quantize(source_.reshaped({rows, cols}), s.weight, MatrixView::weight);
    tensors_.clear();
    for (const TensorDecl& decl : layer_tensors("net/fc", manifest_.layers["net/fc"])) {
      const bool codes = decl.name == "net/fc.weight";
      if (codes) {
        tensors_[decl.name] =
            Tensor::view(decl.dtype, decl.shape, q.codes.data(), std::make_shared<Tensor>(q.codes));
      }
      if (decl.name == "net/fc.weight_scale") tensors_[decl.name] = q.scale;
      if (decl.name == "net/fc.weight_tensor_scale") tensors_[decl.name] = q.tensor_scale;
      if (decl.name == "net/fc.weight_zero_point") tensors_[decl.name] = q.zero_point;
      if (decl.name == "net/fc.input_scale") tensors_[decl.name] = Tensor::from({0.5f}, {1, 1});
      EXPECT_EQ(tensors_[decl.name].shape(), decl.shape) << decl.name;
      EXPECT_EQ(tensors_[decl.name].dtype(), decl.dtype) << decl.name;
    }
    tensors_["net/fc.bias"] = test::random_tensor({shape[0]}, 6, 1, DType::bf16);
  }

  std::string save() const { return save(manifest_.to_json()); }
  std::string save(const std::string& manifest) const {
    const std::string path = folder_.file("a.safetensors");
    save_safetensors(path, tensors_, {{Artifact::kMetadataKey, manifest}});
    return path;
  }

  void expect_refused(const std::string& words) const {
    expect_refused(manifest_.to_json(), words);
  }
  void expect_refused(const std::string& manifest, const std::string& words) const {
    const std::string path = save(manifest);
    const Error error = error_of([&] { Artifact::open(path); });
    EXPECT_EQ(error.code(), ErrorCode::bad_file) << error.what();
    for (const std::string& part : {path, words}) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
  // The manifest with `from` replaced.
  void expect_refused_with(const std::string& from, const std::string& to,
                           const std::string& words) const {
    std::string json = manifest_.to_json();
    const size_t at = json.find(from);
    ASSERT_NE(at, std::string::npos) << from << " in " << json;
    expect_refused(json.replace(at, from.size(), to), words);
  }

  test::TempFolder folder_;
  ArtifactManifest manifest_;
  std::map<std::string, Tensor> tensors_;
  Tensor source_;
  QuantizedTensor expected_;
};

TEST_F(ArtifactFile, RoundTripOfEveryKindOfScheme) {
  for (const char* scheme : kSchemes) {
    for (const Shape& shape : {Shape{6, 8}, Shape{3, 4, 3, 3}, Shape{5, 12, 1, 1}}) {
      SCOPED_TRACE(fmt::format("{} {}", scheme, to_string(shape)));
      make(scheme, shape);
      const auto artifact = Artifact::open(save());
      EXPECT_EQ(artifact->manifest(), manifest_);
      EXPECT_EQ(artifact->components(), std::vector<std::string>{"net"});
      const auto store = artifact->weights("net");
      EXPECT_EQ(store->names(), (std::vector<std::string>{"fc.bias", "fc.weight"}));
      EXPECT_TRUE(test::equal_bytes(store->tensor("fc.bias"), tensors_["net/fc.bias"]));
      EXPECT_EQ(store->type("fc.weight").shape, shape);
      EXPECT_EQ(store->type("fc.weight").dtype, DType::f32);
      const auto layer = store->quantized("fc");
      ASSERT_TRUE(layer.has_value());
      EXPECT_EQ(layer->weight.spec, expected_.spec);
      EXPECT_EQ(layer->activation, manifest_.layers["net/fc"].scheme.activation);
      EXPECT_TRUE(test::equal_bytes(layer->weight.codes, expected_.codes));
      EXPECT_TRUE(test::equal_bytes(layer->weight.scale, expected_.scale));
      EXPECT_TRUE(test::equal_bytes(layer->weight.tensor_scale, expected_.tensor_scale));
      if (expected_.spec.zero_point) {
        EXPECT_TRUE(test::equal_bytes(layer->weight.zero_point, expected_.zero_point));
      }
      EXPECT_TRUE(
          test::equal_bytes(store->tensor("fc.weight"), dequantize(expected_, MatrixView::weight)));
      EXPECT_FALSE(store->quantized("fd").has_value());
    }
  }
}

TEST_F(ArtifactFile, StaticActivationsHaveAnInputScale) {
  make(kSchemes[1], {6, 8});
  EXPECT_EQ(Artifact::open(save())->weights("net")->quantized("fc")->input_scale.to_floats(),
            std::vector<float>{0.5f});
  make(kSchemes[2], {6, 8});
  EXPECT_FALSE(Artifact::open(save())->weights("net")->quantized("fc")->input_scale.has_data());
}

TEST_F(ArtifactFile, AttentionsHaveTheScalesThatAreStatic) {
  make(kSchemes[0], {6, 8});
  EXPECT_EQ(manifest_.needed_version(), 1);
  manifest_.attentions["net/attn"] = find_attention_scheme(
      "q=e4m3/*x*/static/f32 k=i8/1x*/dynamic/f32 v=e4m3/*x*/static/f32 p=e4m3");
  manifest_.format_version = manifest_.needed_version();
  EXPECT_EQ(manifest_.format_version, 2);
  tensors_["net/attn.q_scale"] = Tensor::from({0.5f}, {1, 1});
  tensors_["net/attn.v_scale"] = Tensor::from({0.25f}, {1, 1});
  const auto artifact = Artifact::open(save());
  EXPECT_EQ(artifact->manifest(), manifest_);
  const auto store = artifact->weights("net");
  EXPECT_EQ(store->names(), (std::vector<std::string>{"fc.bias", "fc.weight"}));
  const auto attention = store->attention("attn");
  ASSERT_TRUE(attention.has_value());
  EXPECT_EQ(attention->scheme, manifest_.attentions["net/attn"]);
  EXPECT_EQ(attention->q_scale.to_floats(), std::vector<float>{0.5f});
  EXPECT_FALSE(attention->k_scale.has_data());
  EXPECT_EQ(attention->v_scale.to_floats(), std::vector<float>{0.25f});
  EXPECT_FALSE(store->attention("attm").has_value());

  expect_refused_with("net/attn\":\"q=e4m3", "net/attn\":\"q=e5m9", "net/attn");
  expect_refused_with("\"net/attn\"", "\"nut/attn\"", "no component");
  tensors_["net/attn.v_scale"] = Tensor::from({-1.0f}, {1, 1});
  expect_refused("expected a finite number above 0");
  tensors_["net/attn.v_scale"] = Tensor::from({1.0f, 1.0f}, {1, 2});
  expect_refused("expected f32 [1, 1]");
  tensors_.erase("net/attn.v_scale");
  expect_refused("tensor \"net/attn.v_scale\" is missing; attention \"net/attn\"");
}

// All that a linear may have.
class TransformedLayer : public ArtifactFile {
 protected:
  void SetUp() override {
    make(kSchemes[1], {6, 8});
    LayerForm& form = manifest_.layers["net/fc"];
    form.steps = 3;
    form.rank = 2;
    form.rotation = 4;
    form.shift = form.multiplier = form.bias = true;
    manifest_.format_version = manifest_.needed_version();
    tensors_["net/fc.input_scale"] = Tensor::from({0.5f, 0.25f, 2.0f}, {3, 1});
    tensors_["net/fc.input_steps"] = Tensor::from({0.0f, 0.5f, 1.0f}, {3});
    tensors_["net/fc.input_shift"] = test::random_tensor({8}, 1);
    tensors_["net/fc.input_multiplier"] = Tensor::from(std::vector<float>(8, 0.5f), {8});
    tensors_["net/fc.low_rank_down"] = test::random_tensor({2, 8}, 2, 1, DType::bf16);
    tensors_["net/fc.low_rank_up"] = test::random_tensor({6, 2}, 3, 1, DType::bf16);
    tensors_["net/fc.bias"] = test::random_tensor({6}, 4);
  }
};

TEST_F(TransformedLayer, IsReadAsItWasWritten) {
  EXPECT_EQ(manifest_.format_version, 2);
  const auto artifact = Artifact::open(save());
  EXPECT_EQ(artifact->manifest(), manifest_);
  const auto store = artifact->weights("net");
  EXPECT_EQ(store->names(), (std::vector<std::string>{"fc.bias", "fc.weight"}));
  EXPECT_EQ(store->type("fc.bias").dtype, DType::f32);
  EXPECT_TRUE(test::equal_bytes(store->tensor("fc.bias"), tensors_["net/fc.bias"]));
  const auto layer = store->quantized("fc");
  ASSERT_TRUE(layer.has_value());
  EXPECT_EQ(LayerForm::of(*layer), manifest_.layers["net/fc"]);
  EXPECT_EQ(layer->input.rotation, 4);
  const std::vector<TensorDecl> decls = layer_tensors("net/fc", manifest_.layers["net/fc"]);
  EXPECT_EQ(decls.size(), tensors_.size());
  for (const TensorDecl& decl : decls) {
    EXPECT_TRUE(test::equal_bytes(layer_tensor(*layer, decl.name), tensors_[decl.name]))
        << decl.name;
  }
}

TEST_F(TransformedLayer, EveryPartIsOptional) {
  for (const char* key : {"low_rank", "rotation", "input_shift", "input_multiplier", "bias"}) {
    SCOPED_TRACE(key);
    make(kSchemes[0], {6, 8});
    LayerForm& form = manifest_.layers["net/fc"];
    const std::string part = key;
    form.rank = part == "low_rank" ? 6 : 0;
    form.rotation = part == "rotation" ? 8 : 0;
    form.shift = part == "input_shift";
    form.multiplier = part == "input_multiplier";
    form.bias = part == "bias";
    EXPECT_EQ(manifest_.needed_version(), 2);
    EXPECT_NE(manifest_.to_json().find("\"" + part + "\":"), std::string::npos);
    for (const TensorDecl& decl : layer_tensors("net/fc", form)) {
      if (tensors_[decl.name].shape() != decl.shape || decl.name == "net/fc.bias") {
        tensors_[decl.name] = test::random_tensor(decl.shape, 1).to(decl.dtype);
      }
      if (decl.name.ends_with("multiplier")) {
        tensors_[decl.name] = Tensor::from(std::vector<float>(8, 2.0f), {8});
      }
    }
    const auto artifact = Artifact::open(save());
    EXPECT_EQ(artifact->manifest(), manifest_);
    EXPECT_EQ(LayerForm::of(*artifact->weights("net")->quantized("fc")), form);
  }
}

TEST_F(TransformedLayer, PartsThatAreNone) {
  struct Bad {
    const char* part;
    size_t index;
    float value;
    const char* words;
  };
  for (const Bad& bad : {Bad{"input_scale", 1, 0, "scale 1"},
                         {"input_steps", 1, 0, "step 1"},
                         {"input_steps", 2, NAN, "step 2"},
                         {"input_shift", 3, INFINITY, "element 3"},
                         {"input_multiplier", 4, 0, "multiplier 4"},
                         {"input_multiplier", 0, -1, "multiplier 0"},
                         {"bias", 5, NAN, "element 5"}}) {
    SetUp();
    Tensor& tensor = tensors_[std::string("net/fc.") + bad.part];
    tensor.as_mutable<float>()[bad.index] = bad.value;
    expect_refused(fmt::format("{} of tensor \"net/fc.{}\" is", bad.words, bad.part));
  }
  SetUp();
  tensors_["net/fc.low_rank_up"] =
      Tensor::from(std::vector<float>(12, INFINITY), {6, 2}).to(DType::bf16);
  expect_refused("element 0 of tensor \"net/fc.low_rank_up\"");
  for (const char* part : {"input_scale", "input_steps", "input_shift", "input_multiplier",
                           "low_rank_down", "low_rank_up", "bias"}) {
    SetUp();
    tensors_.erase(std::string("net/fc.") + part);
    expect_refused(fmt::format("tensor \"net/fc.{}\" is missing; layer \"net/fc\"", part));
  }
  SetUp();
  tensors_["net/fc.low_rank_down"] = Tensor::zeros(DType::f32, {2, 8});
  expect_refused("expected bf16 [2, 8]");
}

TEST_F(TransformedLayer, HostileForms) {
  expect_refused_with("\"rotation\":4", "\"rotation\":3", "rotation is 3");
  expect_refused_with("\"rotation\":4", "\"rotation\":16", "rotation is 16");
  expect_refused_with("\"rotation\":4", "\"rotation\":-4", "rotation");
  expect_refused_with("\"low_rank\":2", "\"low_rank\":7", "rank is 7");
  expect_refused_with("\"low_rank\":2", "\"low_rank\":1", "low_rank_down");
  expect_refused_with("\"input_steps\":3", "\"input_steps\":4", "input_scale");
  expect_refused_with("\"input_steps\":3", "\"input_steps\":99999999", "input_steps");
  expect_refused_with("\"input_shift\":true", "\"input_shift\":1", "input_shift");
  expect_refused_with(" a=i8/*x*/static/f32", "", "no static activation");
  expect_refused_with("[6,8]", "[6,2,2,2]", "convolution");
}

TEST_F(ArtifactFile, PackedCodesTakeTheirBits) {
  make("w=i4/1x*/static/f16", {3, 4, 3, 3});
  EXPECT_EQ(tensors_["net/fc.weight"].shape(), (Shape{3, 18}));  // 36 codes of 4 bits a row
  make("w=e2m2/1x*/static/f32", {3, 7});
  EXPECT_EQ(tensors_["net/fc.weight"].shape(), (Shape{3, 5}));  // 35 bits
}

TEST_F(ArtifactFile, HashFollowsContent) {
  make(kSchemes[0], {6, 8});
  const std::string first = Artifact::open(save())->hash();
  EXPECT_EQ(Artifact::open(save())->hash(), first);
  tensors_["net/fc.bias"] = test::random_tensor({6}, 7, 1, DType::bf16);
  EXPECT_NE(Artifact::open(save())->hash(), first);
}

TEST_F(ArtifactFile, StoreOutlivesTheArtifact) {
  make(kSchemes[0], {6, 8});
  const std::shared_ptr<const WeightStore> store = Artifact::open(save())->weights("net");
  EXPECT_TRUE(test::equal_bytes(store->quantized("fc")->weight.codes, expected_.codes));
}

TEST_F(ArtifactFile, UnknownFieldsAreSkipped) {
  make(kSchemes[0], {6, 8});
  std::string json = manifest_.to_json();
  json.insert(1, R"("from_the_future":{"a":[1]},)");
  EXPECT_EQ(Artifact::open(save(json))->manifest(), manifest_);
}

TEST_F(ArtifactFile, UnknownComponentOrTensor) {
  make(kSchemes[0], {6, 8});
  const auto artifact = Artifact::open(save());
  EXPECT_EQ(error_of([&] { artifact->weights("nut"); }).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error_of([&] { artifact->weights("net")->tensor("fc.weight_scale"); }).code(),
            ErrorCode::bad_file);
}

TEST_F(ArtifactFile, PlainSafetensors) {
  make(kSchemes[0], {6, 8});
  const std::string path = folder_.file("a.safetensors");
  save_safetensors(path, tensors_);
  EXPECT_NE(std::string(error_of([&] { Artifact::open(path); }).what()).find("octavo quantize"),
            std::string::npos);
}

TEST_F(ArtifactFile, HostileManifests) {
  make(kSchemes[1], {6, 8});
  expect_refused("{", "not valid JSON");
  expect_refused("[]", "expected a JSON object");
  expect_refused_with("\"format_version\":1", "\"format_version\":3", "use a newer octavo");
  expect_refused_with("\"format_version\":1", "\"format_version\":0", "format_version");
  expect_refused_with("\"format_version\":1", "\"format_version\":\"1\"", "format_version");
  expect_refused_with("\"format_version\":1,", "", "format_version");
  expect_refused_with("w=i8/1x*/static/f32", "w=i9/1x*/static/f32", "scheme");
  expect_refused_with("w=i8/1x*/static/f32 ", "int8 ", "scheme");
  expect_refused_with("[6,8]", "[6,-8]", "shape");
  expect_refused_with("[6,8]", "[6,8.5]", "shape");
  expect_refused_with("[6,8]", "[]", "shape");
  expect_refused_with("[6,8]", "[48]", "two or more axes");
  expect_refused_with("[6,8]", "[1099511627776,1024]", "2^48");
  expect_refused_with("[6,8]", "[1099511627776,1099511627776,1099511627776]", "2^63");
  expect_refused_with("[6,8]", "[8,6]", "net/fc.weight");
  expect_refused_with("\"net/fc\":{", "\"nut/fc\":{", "no component");
  expect_refused_with("\"net/fc\":{", "\"net\":{", "no component");
  expect_refused_with("\"net\":\"{", "\"nut\":\"{", "no component");
  expect_refused_with("\"known\":[", "\"known\":[3,", "known");
  expect_refused_with("a=i8/*x*/static", "a=i8/1x*/static", "static activation");
  expect_refused_with("\"source_hash\":\"abc\"", "\"source_hash\":null", "source_hash");
}

TEST_F(ArtifactFile, MissingTensors) {
  for (const char* name : {"net/fc.weight", "net/fc.weight_scale", "net/fc.input_scale"}) {
    make(kSchemes[1], {6, 8});
    tensors_.erase(name);
    expect_refused(fmt::format("tensor \"{}\" is missing", name));
  }
  make(kSchemes[4], {6, 8});
  tensors_.erase("net/fc.weight_zero_point");
  expect_refused("tensor \"net/fc.weight_zero_point\" is missing");
}

TEST_F(ArtifactFile, TensorsOfAnotherTypeOrShape) {
  make(kSchemes[0], {6, 8});
  tensors_["net/fc.weight"] = Tensor::zeros(DType::u8, {6, 8});
  expect_refused("expected i8 [6, 8]");
  make(kSchemes[0], {6, 8});
  tensors_["net/fc.weight_scale"] = Tensor::zeros(DType::f32, {6});
  expect_refused("expected f32 [6, 1]");
  make(kSchemes[3], {6, 8});
  tensors_["net/fc.weight"] = Tensor::zeros(DType::u8, {6, 8});
  expect_refused("expected u8 [6, 4]");
}

TEST_F(ArtifactFile, ScalesThatAreNone) {
  for (const float bad : {0.0f, -1.0f, INFINITY, NAN}) {
    make(kSchemes[1], {6, 8});
    tensors_["net/fc.weight_scale"].as_mutable<float>()[3] = bad;
    expect_refused("scale 3 of tensor \"net/fc.weight_scale\"");
    make(kSchemes[1], {6, 8});
    tensors_["net/fc.input_scale"].as_mutable<float>()[0] = bad;
    expect_refused("scale 0 of tensor \"net/fc.input_scale\"");
  }
}

TEST_F(ArtifactFile, ZeroPointsOffTheGrid) {
  for (const float bad : {8.0f, -9.0f, 0.5f, INFINITY, NAN}) {
    make(kSchemes[4], {6, 8});
    tensors_["net/fc.weight_zero_point"].as_mutable<float>()[2] = bad;
    expect_refused("zero point 2 of tensor \"net/fc.weight_zero_point\"");
  }
}

TEST_F(ArtifactFile, ZeroPointsOffAnUnsignedGrid) {
  for (const float bad : {-1.0f, 32.0f, 2.5f}) {
    make("w=u5/1x*/static/f32/zp", {6, 8});
    tensors_["net/fc.weight_zero_point"].as_mutable<float>()[2] = bad;
    expect_refused("a whole number from 0 to 31");
  }
}

TEST_F(ArtifactFile, TensorScalesThatAreNone) {
  for (const float bad : {0.0f, -1.0f, 1e31f, INFINITY, NAN}) {
    make("w=e2m1/1x4/static/e4m3*f32", {6, 8});
    EXPECT_EQ(manifest_.needed_version(), 2);
    tensors_["net/fc.weight_tensor_scale"] = Tensor::from({bad}, {1, 1});
    expect_refused("scale 0 of tensor \"net/fc.weight_tensor_scale\"");
  }
  make("w=e2m1/1x4/static/e4m3*f32", {6, 8});
  tensors_.erase("net/fc.weight_tensor_scale");
  expect_refused("\"net/fc.weight_tensor_scale\" is missing");
}

// Halves of the codes and a bit a weight, for linears and convolutions.
TEST_F(ArtifactFile, TwoOfFourCodes) {
  for (const char* scheme : {"w=i8/1x*/static/f32", "w=e4m3/*x*/static/f32", "w=i4/1x4/static/f16",
                             "w=e2m1/1x4/static/e4m3*f32", "w=i5/1x*/static/f32"}) {
    for (const Shape& shape : {Shape{6, 8}, Shape{3, 4, 3, 3}, Shape{5, 12, 1, 1}}) {
      SCOPED_TRACE(fmt::format("{} {}", scheme, to_string(shape)));
      make(scheme, shape);
      const auto [rows, cols] = matrix_extents(shape, MatrixView::weight);
      Tensor pruned = source_.clone();
      for (int64_t i = 0; i < pruned.elements(); ++i) {
        if (i % 4 == 1 || i % 4 == 2) pruned.as_mutable<float>()[i] = 0;
      }
      QuantizedLayer layer;
      layer.weight = quantize(pruned, find_scheme(scheme).weight, MatrixView::weight);
      layer.two_of_four = true;
      const LayerForm form = manifest_.layers["net/fc"] = LayerForm::of(layer);
      EXPECT_EQ(manifest_.needed_version(), 2);
      manifest_.format_version = 2;
      tensors_.clear();
      for (const TensorDecl& decl : layer_tensors("net/fc", form)) {
        const Tensor part = layer_tensor(layer, decl.name);
        EXPECT_EQ(part.bytes(), Tensor::typed(decl.dtype, decl.shape).bytes()) << decl.name;
        tensors_[decl.name] =
            Tensor::view(decl.dtype, decl.shape, part.data(), std::make_shared<Tensor>(part));
      }
      EXPECT_EQ(tensors_.at("net/fc.weight").bytes(),
                static_cast<size_t>(rows * row_bytes(layer.weight.codes.dtype(), cols / 2)));
      EXPECT_EQ(tensors_.at("net/fc.weight_sparse_indices").shape(),
                (Shape{rows, (cols / 4 + 1) / 2}));
      const auto artifact = Artifact::open(save());
      EXPECT_EQ(artifact->manifest(), manifest_);
      const auto read = artifact->weights("net")->quantized("fc");
      EXPECT_TRUE(read->two_of_four);
      EXPECT_TRUE(test::equal_bytes(read->weight.codes, layer.weight.codes));
      EXPECT_EQ(artifact->weights("net")->names(), std::vector<std::string>{"fc.weight"});
      Tensor bad = tensors_.at("net/fc.weight_sparse_indices").clone();
      bad.as_mutable<uint8_t>()[0] = 0x44 | 0x03;
      tensors_["net/fc.weight_sparse_indices"] = bad;
      const auto hostile = Artifact::open(save());
      const Error error = error_of([&] { hostile->weights("net")->quantized("fc"); });
      EXPECT_EQ(error.code(), ErrorCode::bad_file);
      EXPECT_NE(std::string(error.what()).find("places 3 and 1 of four do not ascend"),
                std::string::npos)
          << error.what();
    }
  }
  make("w=i4/1x*/static/f16/zp", {6, 8});
  manifest_.layers["net/fc"].two_of_four = true;
  expect_refused("no zero point");
}

TEST_F(ArtifactFile, SurplusTensors) {
  make(kSchemes[0], {6, 8});
  tensors_["other/x"] = Tensor::scalar(1);
  expect_refused("tensor \"other/x\" belongs to no component");
  make(kSchemes[0], {6, 8});
  tensors_["x"] = Tensor::scalar(1);
  expect_refused("tensor \"x\" belongs to no component");
}

TEST(ArtifactManifest, RefusesToWriteWhatIsNoText) {
  ArtifactManifest manifest;
  manifest.prompts["known"] = {"\xff"};
  EXPECT_EQ(error_of([&] { manifest.to_json(); }).code(), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace octavo
