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
