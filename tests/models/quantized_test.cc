// Graphs over quantized stores: QDQ form, names of constants, what is told of the layers.
#include "models/model_source.h"
#include "stores.h"

namespace octavo {
namespace {

using test::all_tensors;
using test::expect_error;
using test::golden;

// Quantizes every linear and convolution on the fly.
class QuantizedStore : public test::MapStore {
 public:
  QuantizedStore(const ComponentSource& source, const Scheme& scheme)
      : MapStore(all_tensors(*source.weights)), scheme_(scheme) {}

  std::optional<QuantizedLayer> quantized(const std::string& layer) const override {
    const Tensor weight = tensor(layer + ".weight");
    if (weight.rank() < 2) return std::nullopt;
    QuantizedLayer result{
        quantize(weight, scheme_.weight, MatrixView::weight, layer), scheme_.activation, {}};
    if (codes_shape_) result.weight.codes = Tensor::typed(DType::i8, *codes_shape_);
    if (scheme_.activation && scheme_.activation->timing == QuantSpec::Timing::static_) {
      result.input_scale = Tensor::from({0.5f}, {1, 1});
    }
    return result;
  }
  std::optional<Shape> codes_shape_;

 private:
  Scheme scheme_;
};

struct Case {
  const char *model, *method, *scheme;
};

class Quantized : public ::testing::TestWithParam<Case> {
 protected:
  ComponentSource source_ = open_component(golden(GetParam().model));
  const Family& family_ = find_family(source_.config);
  Scheme scheme_ = find_scheme(GetParam().scheme);
  QuantizedStore store_{source_, scheme_};
  Graph plain_ = family_.build(source_.config, source_.weights.get(), GetParam().method);
  Graph graph_ = family_.build(source_.config, &store_, GetParam().method);
};

TEST_P(Quantized, LayersAreTheSame) {
  verify(graph_, "building");
  const std::vector<QuantizableLayer> before = quantizable_layers(plain_);
  const std::vector<QuantizableLayer> after = quantizable_layers(graph_);
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].name, before[i].name);
    EXPECT_EQ(after[i].op, before[i].op);
    EXPECT_EQ(after[i].input, before[i].input);
    EXPECT_EQ(after[i].weight_shape, before[i].weight_shape);
    EXPECT_EQ(after[i].flops, before[i].flops);
    EXPECT_EQ(after[i].rate, before[i].rate);
    EXPECT_EQ(name(after[i].dtype), scheme_.weight.format);
  }
  EXPECT_EQ(parameter_count(graph_), parameter_count(plain_));
  EXPECT_EQ(graph_.outputs().size(), plain_.outputs().size());
}

TEST_P(Quantized, WeightsAreDequantizedCodes) {
  const std::string text = to_text(graph_);
  EXPECT_EQ(to_text(parse_graph(text)), text);
  for (const QuantizableLayer& layer : quantizable_layers(plain_)) {
    const Node& product = graph_.node(graph_.value(*graph_.find(layer.name)).producer);
    const Node& weight = graph_.node(graph_.value(product.inputs[1]).producer);
    ASSERT_EQ(weight.op, Op::dequantize);
    EXPECT_EQ(weight.attrs.get_string("spec"), scheme_.weight.text());
    EXPECT_EQ(weight.attrs.get_string("rows"), "first");
    const QuantizedTensor expected = store_.quantized(layer.name)->weight;
    const auto same = [&](const std::string& constant, const Tensor& tensor) {
      const std::optional<ValueId> id = graph_.find(constant);
      ASSERT_TRUE(id) << constant;
      EXPECT_TRUE(test::equal_bytes(*graph_.value(*id).constant, tensor)) << constant;
    };
    same(layer.name + ".weight", expected.codes);
    same(layer.name + ".weight_scale", expected.scale);
    EXPECT_EQ(graph_.find(layer.name + ".weight_zero_point").has_value(),
              scheme_.weight.zero_point);
    if (scheme_.weight.zero_point) same(layer.name + ".weight_zero_point", expected.zero_point);
  }
}

TEST_P(Quantized, InputsPassThroughTheirSpec) {
  for (const QuantizableLayer& layer : quantizable_layers(plain_)) {
    const Node& product = graph_.node(graph_.value(*graph_.find(layer.name)).producer);
    if (!scheme_.activation) {
      EXPECT_EQ(graph_.value(product.inputs[0]).name, layer.input);
      continue;
    }
    const Node& back = graph_.node(graph_.value(product.inputs[0]).producer);
    ASSERT_EQ(back.op, Op::dequantize);
    const Node& codes = graph_.node(graph_.value(back.inputs[0]).producer);
    ASSERT_EQ(codes.op, Op::quantize);
    EXPECT_EQ(graph_.value(codes.inputs[0]).name, layer.input);
    EXPECT_EQ(codes.attrs.get_string("spec"), scheme_.activation->text());
    EXPECT_EQ(codes.attrs.get_string("rows"), layer.op == Op::linear ? "leading" : "first");
    const bool is_static = scheme_.activation->timing == QuantSpec::Timing::static_;
    EXPECT_EQ(graph_.find(layer.name + ".input_scale").has_value(), is_static);
    EXPECT_EQ(codes.inputs[1] != kNoValue, is_static);
  }
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return fmt::format("{}_{}_{}", info.param.model, info.param.method, info.index);
}

INSTANTIATE_TEST_SUITE_P(Schemes, Quantized,
                         ::testing::Values(Case{"flux_dev", "forward", "int8"},
                                           Case{"flux_dev", "forward", "fp8dqrow"},
                                           Case{"flux_dev", "forward", "w=i4/1x8/static/f16/zp"},
                                           Case{"t5_encoder", "forward", "int8wo"},
                                           Case{"t5_encoder", "forward", "fp6_e3m2"},
                                           Case{"autoencoder_kl_flux", "decode", "int8"},
                                           Case{"autoencoder_kl_sdxl", "encode", "fp8dq"}),
                         case_name);

// All that may come with a layer.
class TransformingStore : public QuantizedStore {
 public:
  using QuantizedStore::QuantizedStore;
  std::optional<QuantizedLayer> quantized(const std::string& layer) const override {
    std::optional<QuantizedLayer> result = QuantizedStore::quantized(layer);
    if (!result) return result;
    const int64_t out = result->weight.codes.dim(0), in = result->weight.codes.dim(1);
    result->input = {test::random_tensor({in + wider_}, 1), test::random_tensor({in}, 2), 2};
    result->input_scale = Tensor::from({0.5f, 0.25f, 1.0f}, {3, 1});
    result->input_steps = Tensor::from({0.0f, 0.5f, 1.0f}, {3});
    result->low_rank_down = test::random_tensor({2, in}, 3, 1, DType::bf16);
    result->low_rank_up = test::random_tensor({out, 2}, 4, 1, DType::bf16);
    result->bias = test::random_tensor({out}, 5);
    return result;
  }
  int64_t wider_ = 0;
};

TEST(QuantizedStores, TransformsStandBetweenTheInputAndItsRounding) {
  const ComponentSource source = open_component(golden("flux_dev"));
  const Family& family = find_family(source.config);
  const TransformingStore store(source, find_scheme("int8"));
  const Graph plain = family.build(source.config, source.weights.get(), "forward");
  const Graph graph = family.build(source.config, &store, "forward");
  const std::vector<QuantizableLayer> before = quantizable_layers(plain);
  const std::vector<QuantizableLayer> after = quantizable_layers(graph);
  ASSERT_EQ(after.size(), before.size());
  EXPECT_EQ(parameter_count(graph), parameter_count(plain));
  const auto maker = [&](ValueId id) { return graph.node(graph.value(id).producer); };
  for (size_t i = 0; i < before.size(); ++i) {
    const std::string& layer = before[i].name;
    SCOPED_TRACE(layer);
    EXPECT_EQ(after[i].name, layer);
    EXPECT_EQ(after[i].input, before[i].input);
    const Node sum = maker(*graph.find(layer));
    ASSERT_EQ(sum.op, Op::add);
    const Node up = maker(sum.inputs[0]), product = maker(sum.inputs[1]);
    ASSERT_EQ(product.op, Op::linear);
    EXPECT_TRUE(test::equal_bytes(*graph.value(product.inputs[2]).constant,
                                  test::random_tensor({before[i].weight_shape[0]}, 5)));
    const Node codes = maker(maker(product.inputs[0]).inputs[0]);
    const Node rotated = maker(codes.inputs[0]);
    EXPECT_EQ(rotated.op, Op::hadamard);
    EXPECT_EQ(maker(up.inputs[0]).inputs[0], codes.inputs[0]) << "the branch reads what is rounded";
    EXPECT_EQ(maker(rotated.inputs[0]).op, Op::mul);
    EXPECT_EQ(maker(maker(rotated.inputs[0]).inputs[0]).op, Op::sub);
    const Node present = maker(codes.inputs[1]);
    EXPECT_EQ(present.op, Op::slice);
    EXPECT_EQ(graph.value(maker(present.inputs[0]).inputs[0]).name, "timestep");
    EXPECT_EQ(graph.value(codes.inputs[1]).rate, Rate::schedule);
  }
}

TEST(QuantizedStores, PartsOfAnotherShapeAreRefused) {
  const ComponentSource source = open_component(golden("flux_dev"));
  TransformingStore store(source, find_scheme("int8"));
  store.wider_ = 1;
  const Error error =
      test::error_of([&] { find_family(source.config).build(source.config, &store, "forward"); });
  expect_error(error, ErrorCode::bad_file, {"memory", "x_embedder.input_shift", "[17]", "[16]"});
}

TEST(QuantizedStores, StepsNeedATimestepAndTransformsALinear) {
  const ComponentSource text = open_component(golden("t5_encoder"));
  const TransformingStore store(text, find_scheme("int8"));
  expect_error(
      test::error_of([&] { find_family(text.config).build(text.config, &store, "forward"); }),
      ErrorCode::bad_file, {"T5EncoderModel.forward is given no timestep"});
  const ComponentSource vae = open_component(golden("autoencoder_kl_flux"));
  const TransformingStore convolutions(vae, find_scheme("int8"));
  expect_error(
      test::error_of([&] { find_family(vae.config).build(vae.config, &convolutions, "decode"); }),
      ErrorCode::bad_file, {"is a convolution"});
}

TEST(QuantizedStores, CodesOfAnotherShapeAreRefused) {
  const ComponentSource source = open_component(golden("flux_dev"));
  QuantizedStore store(source, find_scheme("int8wo"));
  store.codes_shape_ = Shape{3, 4};
  const Error error =
      test::error_of([&] { find_family(source.config).build(source.config, &store, "forward"); });
  expect_error(error, ErrorCode::bad_file, {"memory", "x_embedder.weight", "[3, 4]", "[64, 16]"});
}

}  // namespace
}  // namespace octavo
