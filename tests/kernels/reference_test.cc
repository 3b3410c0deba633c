// What the reference kernels promise beyond agreeing with PyTorch: the documented order of the
// quantized products' epilogue, single rounding, and what happens to awkward operands.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/call.h"
#include "support.h"
#include "tensor/quantize.h"

namespace octavo::test {
namespace {

using ::testing::HasSubstr;
constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<Tensor> run(Op op, const Attrs& attrs, const Inputs& inputs) {
  return run_call(make_call(op, attrs, inputs, "layer"), plain(inputs), true);
}

Error failure(Op op, const Attrs& attrs, const Inputs& inputs) {
  return error_of([&] { run(op, attrs, inputs); });
}

// Random codes over the whole range, -128 included.
Tensor random_codes(Shape shape, uint64_t seed) {
  Tensor t = Tensor::empty(DType::i8, std::move(shape));
  Random random(seed);
  for (int64_t i = 0; i < t.elements(); ++i) {
    t.as_mutable<int8_t>()[i] = static_cast<int8_t>(random.below(256) - 128);
  }
  return t;
}

struct IntegerLinear {
  static constexpr int64_t kBatch = 2, kRows = 3, kDepth = 1025, kColumns = 5;
  Tensor x = random_codes({kBatch, kRows, kDepth}, 1);
  Tensor x_scale = random_tensor({kBatch * kRows, 1}, 2, 0.01f);
  Tensor w = random_codes({kColumns, kDepth}, 3);
  Tensor w_scale = random_tensor({kColumns, 1}, 4, 0.01f);
  Tensor bias = random_tensor({kColumns}, 5), gate = random_tensor({kBatch, kColumns}, 6);
  Tensor residual = random_tensor({kBatch, kRows, kColumns}, 7);
  Attrs attrs{{"x_spec", std::string("i8/1x*/dynamic/f32")},
              {"w_spec", std::string("i8/1x*/static/f32")}};

  Inputs inputs() const {
    return {x, x_scale, w, w_scale, std::nullopt, bias, gate, residual, std::nullopt};
  }
  // The steps of quantized_linear.cc for one element, one rounding each.
  float element(int64_t row, int64_t n) const {
    int64_t acc = 0;
    for (int64_t k = 0; k < kDepth; ++k) {
      acc += int64_t{x.as<int8_t>()[row * kDepth + k]} * w.as<int8_t>()[n * kDepth + k];
    }
    volatile float v = static_cast<float>(acc);
    volatile float s = x_scale.as<float>()[row] * w_scale.as<float>()[n];
    v = v * s;
    v = v + bias.as<float>()[n];
    v = v * gate.as<float>()[row / kRows * kColumns + n];
    v = v + residual.as<float>()[row * kColumns + n];
    return v;
  }
};

TEST(QuantizedLinearReference, HasTheDocumentedBits) {
  const IntegerLinear c;
  const Tensor y = run(Op::quantized_linear, c.attrs, c.inputs())[0];
  for (int64_t i = 0; i < y.elements(); ++i) {
    EXPECT_EQ(y.as<float>()[i], c.element(i / c.kColumns, i % c.kColumns)) << i;
  }
}

TEST(QuantizedLinearReference, RoundsTheSameValueToItsOutput) {
  IntegerLinear c;
  c.attrs.set("out_spec", std::string("i8/*x*/static/f32"));
  Inputs inputs = c.inputs();
  inputs[8] = Tensor::from({0.7f}, {1, 1});
  const std::vector<Tensor> quantized = run(Op::quantized_linear, c.attrs, inputs);
  for (int64_t i = 0; i < quantized[0].elements(); ++i) {
    const float v = c.element(i / c.kColumns, i % c.kColumns) / 0.7f;
    const float expected = std::min(127.0f, std::max(-128.0f, std::nearbyint(v)));
    EXPECT_EQ(quantized[0].as<int8_t>()[i], expected) << i;
  }
  EXPECT_TRUE(equal_bytes(quantized[1], *inputs[8]));
}

TEST(QuantizedLinearReference, FusedQuantizationEqualsQuantizeAfterwards) {
  for (const char* spec : {"i8/1x*/dynamic/f32", "e4m3/*x*/dynamic/f32", "i4/1x5/dynamic/f32"}) {
    const IntegerLinear c;
    const Tensor y = run(Op::quantized_linear, c.attrs, c.inputs())[0];
    const auto apart = run(Op::quantize, {{"spec", std::string(spec)}}, {y, std::nullopt});
    Attrs attrs = c.attrs;
    attrs.set("out_spec", std::string(spec));
    const auto fused = run(Op::quantized_linear, attrs, c.inputs());
    EXPECT_TRUE(equal_bytes(fused[0], apart[0])) << spec;
    EXPECT_TRUE(equal_bytes(fused[1], apart[1])) << spec;
  }
}

TEST(QuantizedLinearReference, E4m3SumsAreExact) {
  // 448 * 448 and 2^-9 * 2^-9 in one sum: 36 bits apart, lost by any sum in f32.
  const Tensor x = Tensor::from({448, 0x1p-9f, -448}, {1, 3}).to(DType::e4m3);
  const Tensor w = Tensor::from({448, 0x1p-9f, 448}, {1, 3}).to(DType::e4m3);
  const Tensor one = Tensor::from({1}, {1, 1});
  const Attrs attrs{{"x_spec", std::string("e4m3/*x*/static/f32")},
                    {"w_spec", std::string("e4m3/*x*/static/f32")}};
  EXPECT_EQ(run(Op::quantized_linear, attrs, {x, one, w, one})[0].as<float>()[0], 0x1p-18f);
}

TEST(QuantizeReference, HasTheBitsOfTheTensorFloor) {
  const Tensor x = random_tensor({3, 5, 7, 16}, 1);
  for (const char* text :
       {"i8/1x*/dynamic/f32", "i8/*x*/dynamic/f16", "i4/1x16/dynamic/bf16", "e4m3/1x*/dynamic/f32",
        "e2m1/1x16/dynamic/e4m3", "e3m2/*x16/dynamic/e8m0"}) {
    for (const bool first : {false, true}) {
      const QuantSpec spec = QuantSpec::parse(text);
      const auto expected = quantize(x, spec, first ? MatrixView::weight : MatrixView::activation);
      Attrs attrs{{"spec", std::string(text)}};
      if (first) attrs.set("rows", std::string("first"));
      const auto found = run(Op::quantize, attrs, {x});
      EXPECT_TRUE(equal_bytes(found[0], expected.codes)) << text;
      EXPECT_TRUE(equal_bytes(found[1], expected.scale.to(DType::f32))) << text;
      attrs.set("shape", symbolic(x.shape()));
      const auto back = run(Op::dequantize, attrs, {found[0], found[1]});
      const Tensor dequantized =
          dequantize(expected, first ? MatrixView::weight : MatrixView::activation);
      EXPECT_TRUE(equal_bytes(back[0], dequantized)) << text;
    }
  }
}

TEST(QuantizeReference, NeverHidesWhatIsNotFinite) {
  const auto code = [](const char* spec, float value, bool is_static) {
    Inputs inputs{Tensor::from({1, value, 2, 3}, {2, 2})};
    if (is_static) inputs.push_back(Tensor::from({1}, {1, 1}));
    return failure(Op::quantize, {{"spec", std::string(spec)}}, inputs);
  };
  for (const float bad : {kNaN, kInfinity, -kInfinity}) {
    for (const char* spec : {"i8/1x*/dynamic/f32", "e4m3/*x*/dynamic/f32"}) {
      const Error error = code(spec, bad, false);
      EXPECT_EQ(error.code(), ErrorCode::not_finite) << spec << " " << bad;
      EXPECT_THAT(error.what(), HasSubstr("[layer]"));
    }
  }
  EXPECT_EQ(code("i8/*x*/static/f32", kNaN, true).code(), ErrorCode::not_finite);
  // A static scale saturates infinity; e4m3 keeps NaN.
  const Tensor one = Tensor::from({1}, {1, 1});
  const auto saturated = run(Op::quantize, {{"spec", std::string("i8/*x*/static/f32")}},
                             {Tensor::from({kInfinity, -kInfinity}, {1, 2}), one});
  EXPECT_EQ(saturated[0].to_floats(), (std::vector<float>{127, -128}));
  const auto kept = run(Op::quantize, {{"spec", std::string("e4m3/*x*/static/f32")}},
                        {Tensor::from({kNaN}, {1, 1}), one});
  EXPECT_TRUE(std::isnan(kept[0].to_floats()[0]));
}

TEST(QuantizeReference, ZeroRowsGetAUsableScale) {
  const auto found = run(Op::quantize, {{"spec", std::string("i8/1x*/dynamic/f32")}},
                         {Tensor::zeros(DType::f32, {2, 8})});
  for (const float scale : found[1].to_floats()) EXPECT_GT(scale, 0);
  for (const float c : found[0].to_floats()) EXPECT_EQ(c, 0);
}

Tensor attention(const Tensor& bias, int64_t keys) {
  const Tensor q = random_tensor({1, 2, 1, 4}, 1), k = random_tensor({1, keys, 1, 4}, 2);
  return run(Op::attention, {{"scale", 0.5}}, {q, k, random_tensor({1, keys, 1, 4}, 3), bias})[0];
}

TEST(AttentionReference, MaskedRowsAverage) {
  const Tensor v = random_tensor({1, 3, 1, 4}, 3);
  for (const float low : {kLowest, -kInfinity}) {
    const Tensor y = attention(Tensor::from({low, low, low, 0, low, low}, {1, 1, 2, 3}), 3);
    for (int64_t d = 0; d < 4; ++d) {
      const double sum = double{v.as<float>()[d]} + v.as<float>()[4 + d] + v.as<float>()[8 + d];
      EXPECT_FLOAT_EQ(y.as<float>()[d], static_cast<float>(sum / 3));
      EXPECT_EQ(y.as<float>()[4 + d], v.as<float>()[d]);  // only one key is left
    }
  }
}

TEST(AttentionReference, NoKeysGiveZeroAndNaNStays) {
  EXPECT_EQ(attention(Tensor::zeros(DType::f32, {1, 1, 1, 0}), 0).to_floats(),
            std::vector<float>(8, 0.0f));
  const Tensor y = attention(Tensor::from({kNaN, 0, 0, 0, 0, 0}, {1, 1, 2, 3}), 3);
  EXPECT_TRUE(std::isnan(y.as<float>()[0]));
  EXPECT_FALSE(std::isnan(y.as<float>()[4]));
}

TEST(Reference, RoundsTo16BitsOnce) {
  // 1 + 2^-8 is halfway between two bf16 values; a little more must go up, but a first rounding to
  // f32 would bring it back to the tie and then down to the even 1.
  const Tensor a = Tensor::from({1 + 0x1p-8f}, {1}).to(DType::f32);
  const Call call = [&] {
    Call c = make_call(Op::affine, {{"scale", 1.0}, {"shift", 0x1p-40}}, {a});
    c.outputs[0].dtype = DType::bf16;
    return c;
  }();
  EXPECT_EQ(run_call(call, {a}, true)[0].to_floats()[0], 1 + 0x1p-7f);
}

TEST(EmbeddingReference, RefusesIdsOutsideTheTable) {
  for (const int64_t bad : {int64_t{-1}, int64_t{3}}) {
    Tensor ids = Tensor::zeros(DType::i64, {2});
    ids.as_mutable<int64_t>()[1] = bad;
    const Error error = failure(Op::embedding, {}, {random_tensor({3, 2}, 1), ids});
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(std::string(error.what()),
              fmt::format("[layer] id {} at 1 is outside of a table of 3", bad));
  }
}

TEST(RelativePositionBiasReference, RefusesTooFewBuckets) {
  const Inputs inputs{random_tensor({2, 1}, 1), random_tensor({1, 3}, 2)};
  const Error error = failure(Op::relative_position_bias,
                              {{"max_distance", int64_t{8}}, {"bidirectional", true}}, inputs);
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_THAT(error.what(), HasSubstr("2 buckets do not spread over distances up to 8"));
}

TEST(StepScale, TakesTheNearestStepTheLowerOfTwo) {
  const Tensor t = Tensor::from({1, 0.25f, 0.26f, -3, 9, 0.5f}, {6});
  const Tensor steps = Tensor::from({0, 0.5f, 1}, {3}), values = Tensor::from({1, 2, 3}, {3, 1});
  const Tensor found = run(Op::step_scale, {}, {t, steps, values})[0];
  EXPECT_EQ(found.shape(), (Shape{6, 1}));
  EXPECT_EQ(found.to_floats(), (std::vector<float>{3, 1, 2, 1, 3, 2}));
}

TEST(Hadamard, IsSylvestersMatrixOfEachBlock) {
  const Attrs attrs{{"block", int64_t{4}}};
  const Tensor x = Tensor::from({1, 2, 3, 4, 8, 0, 0, 0}, {1, 8});
  const Tensor y = run(Op::hadamard, attrs, {x})[0];
  EXPECT_EQ(y.to_floats(), (std::vector<float>{5, -1, -2, 0, 4, 4, 4, 4}));
  EXPECT_TRUE(equal_bytes(run(Op::hadamard, attrs, {y})[0], x)) << "its own inverse";
}

}  // namespace
}  // namespace octavo::test
