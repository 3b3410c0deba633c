// Properties of quantization over the whole algebra, its edge cases, and bit-for-bit agreement with
// numpy on a few tensors (make_quantize_goldens.py).
#include "tensor/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <limits>

#include "base/threads.h"
#include "golden_file.h"
#include "support.h"
#include "tensor/codec.h"

namespace octavo {
namespace {

using test::equal_bytes;
using test::error_of;
using test::random_tensor;

constexpr float kInf = std::numeric_limits<float>::infinity();

QuantSpec spec_of(const std::string& text) { return QuantSpec::parse(text); }

// Scale and zero point of every element of the matrix.
struct Cell {
  float scale, zero_point;
};
std::vector<Cell> cells_of(const QuantizedTensor& q, int64_t rows, int64_t cols) {
  const std::vector<float> scale = q.scale.to_floats();
  std::vector<float> zero(scale.size());
  if (q.zero_point.has_data()) zero = q.zero_point.to_floats();
  std::vector<Cell> cells;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      const int64_t row = q.spec.tile_rows ? r / q.spec.tile_rows : 0;
      const int64_t col = q.spec.tile_cols ? c / q.spec.tile_cols : 0;
      const auto at = static_cast<size_t>(row * q.scale.dim(1) + col);
      cells.push_back({scale.at(at), zero.at(at)});
    }
  }
  return cells;
}

TEST(QuantizeGoldens, EqualsNumpyBitForBit) {
  const test::GoldenFile golden = test::read_goldens("quantize.safetensors");
  const auto about = nlohmann::json::parse(golden.metadata["about"].get<std::string>());
  ASSERT_GE(about["cases"].size(), 42u);
  for (size_t n = 0; n < about["cases"].size(); ++n) {
    const auto& c = about["cases"][n];
    SCOPED_TRACE(c.dump());
    const auto bytes = [&](const char* key) { return golden[fmt::format("{}.{}", n, key)]; };
    const QuantSpec spec = spec_of(c["spec"]);
    const MatrixView view = c["view"] == "weight" ? MatrixView::weight : MatrixView::activation;
    const Tensor raw = bytes("x");
    const Tensor x =
        Tensor::view(*find_dtype(c["type"].get<std::string>()), c["shape"].get<Shape>(), raw.data(),
                     std::make_shared<Tensor>(raw));
    const QuantizedTensor q = quantize(x, spec, view);
    EXPECT_EQ(q.codes.shape(), x.shape());
    EXPECT_EQ(name(q.codes.dtype()), spec.format);
    EXPECT_EQ(q.scale.dtype(), scale_format(spec));
    // As bytes of one axis: the golden file has no types for packed codes and 8-bit scales.
    const auto flat = [](const Tensor& t) {
      return Tensor::view(DType::u8, {static_cast<int64_t>(t.bytes())}, t.data(),
                          std::make_shared<Tensor>(t));
    };
    EXPECT_TRUE(equal_bytes(flat(q.scale), flat(bytes("scale"))));
    EXPECT_TRUE(equal_bytes(flat(q.codes), flat(bytes("codes"))));
    EXPECT_EQ(q.tensor_scale.has_data(), spec.has_tensor_scale());
    if (spec.has_tensor_scale()) {
      EXPECT_TRUE(equal_bytes(q.tensor_scale, bytes("tensor_scale")));
    }
    EXPECT_EQ(q.zero_point.has_data(), spec.zero_point);
    if (spec.zero_point) {
      EXPECT_TRUE(equal_bytes(q.zero_point, bytes("zero_point")));
    }
  }
}

// Format, tile, scale, zero point.
class Algebra : public ::testing::TestWithParam<std::string> {
 protected:
  QuantSpec spec() const { return spec_of(GetParam()); }
  DType format() const { return *find_dtype(spec().format); }
};

class SymmetricAlgebra : public Algebra {};

// Half the distance from |v| (in codes) to the next value of the format, at most.
double half_step(DType format, double v) {
  if (!is_float(format)) return 0.5;
  const DTypeInfo& f = info(format);
  const int exponent = std::max(v > 0 ? std::ilogb(v) : 1 - f.bias, 1 - f.bias);
  return std::ldexp(0.5, exponent - f.mantissa_bits);
}

TEST_P(Algebra, ErrorIsHalfAStepTimesTheScale) {
  const Tensor x = random_tensor({11, 96}, 5, 0.05f, DType::bf16);
  const QuantizedTensor q = quantize(x, spec(), MatrixView::weight);
  const std::vector<float> values = x.to_floats();
  const std::vector<float> back = dequantize(q, MatrixView::weight).to_floats();
  const std::vector<Cell> cells = cells_of(q, 11, 96);
  int64_t inexact = 0;
  for (int64_t i = 0; i < x.elements(); ++i) {
    const double v = values[static_cast<size_t>(i)], y = back[static_cast<size_t>(i)];
    const auto [scale, zero] = cells[static_cast<size_t>(i)];
    // A scale that was rounded down leaves what lies beyond the largest code.
    const double clipped =
        std::max({0.0, v / scale + zero - info(format()).max, lowest(format()) - v / scale - zero});
    const double bound = half_step(format(), std::fabs(v / scale)) + clipped;
    EXPECT_LE(std::fabs(v - y), scale * bound * (1 + 1e-5)) << "element " << i << ": " << v;
    inexact += v != y;
  }
  EXPECT_GT(inexact, x.elements() / 2);
}

// The values that codes stand for, with the tile's extremes among them, come back exactly. (With a
// zero point: AllCodesOfAZeroPointGrid.)
TEST_P(SymmetricAlgebra, ValuesOnTheGridAreExact) {
  const QuantSpec s = spec();
  const auto top = static_cast<int64_t>(info(format()).max);
  test::Random random(3);
  Tensor x = Tensor::empty(DType::f32, {8, 96});
  for (int64_t i = 0; i < x.elements(); ++i) {
    float code = decode(format(), static_cast<uint32_t>(random.below(1 << info(format()).bits)));
    if (!std::isfinite(code)) code = 0;
    code = std::max(code, -static_cast<float>(top));  // -128 is not in the range of absmax / 127
    if (i % 8 == 0) code = static_cast<float>(top);
    x.as_mutable<float>()[i] = code * 0.125f;
  }
  const QuantizedTensor q = quantize(x, s, MatrixView::weight);
  EXPECT_TRUE(equal_bytes(dequantize(q, MatrixView::weight).to(DType::f32), x));
  EXPECT_THAT(q.scale.to_floats(), ::testing::Each(0.125f));
}

TEST_P(Algebra, ZerosStayZeroAndAZeroTensorHasAUsableScale) {
  Tensor x = random_tensor({8, 96}, 9);
  for (int64_t i = 0; i < x.elements(); i += 3) x.as_mutable<float>()[i] = 0;
  for (const Tensor& t : {x, Tensor::zeros(DType::f32, {8, 96})}) {
    const QuantizedTensor q = quantize(t, spec(), MatrixView::weight);
    for (const float s : q.scale.to_floats()) EXPECT_TRUE(s > 0 && std::isfinite(s)) << s;
    const std::vector<float> back = dequantize(q, MatrixView::weight).to_floats();
    for (size_t i = 0; i < back.size(); ++i) {
      if (t.as<float>()[i] == 0) {
        EXPECT_EQ(back[i], 0) << i;
      }
    }
  }
}

TEST_P(Algebra, OutliersAndTinyValuesStayFinite) {
  Tensor x = random_tensor({8, 96}, 9, 1e-3f);
  float* v = x.as_mutable<float>();
  v[0] = 6e4f, v[100] = -6e4f, v[200] = 1e-42f, v[300] = -1e-30f, v[400] = 1e38f, v[401] = -1e38f;
  for (int i = 480; i < 576; ++i) v[i] = 1e-41f;
  const QuantizedTensor q = quantize(x, spec(), MatrixView::weight);
  for (const float s : q.scale.to_floats()) EXPECT_TRUE(s > 0 && std::isfinite(s)) << s;
  for (const float y : dequantize(q, MatrixView::weight).to_floats()) EXPECT_TRUE(std::isfinite(y));
}

TEST_P(Algebra, EmptyTensorsAreQuantized) {
  for (const Shape& shape : {Shape{0, 96}, Shape{8, 0}}) {
    const QuantizedTensor q =
        quantize(Tensor::empty(DType::f32, shape), spec(), MatrixView::weight);
    EXPECT_EQ(q.codes.shape(), shape);
    EXPECT_EQ(dequantize(q, MatrixView::weight).shape(), shape);
    for (const float s : q.scale.to_floats()) EXPECT_GT(s, 0);
  }
}

TEST_P(Algebra, HasTheSameBytesOnAnyNumberOfThreadsAndFromAnyExactType) {
  const Tensor x = random_tensor({700, 96}, 4, 1, DType::bf16);
  set_thread_count(1);
  const QuantizedTensor one = quantize(x, spec(), MatrixView::weight);
  set_thread_count(3);
  const QuantizedTensor three = quantize(x.to(DType::f32), spec(), MatrixView::weight);
  const Tensor back = dequantize(three, MatrixView::weight);
  set_thread_count(0);
  EXPECT_TRUE(equal_bytes(one.codes, three.codes));
  EXPECT_TRUE(equal_bytes(one.scale, three.scale));
  EXPECT_TRUE(equal_bytes(dequantize(one, MatrixView::weight), back));
}

TEST_P(Algebra, ConvolutionWeightsAreMatricesOfOutputChannels) {
  const Tensor x = random_tensor({10, 32, 3, 3}, 6);
  const QuantizedTensor conv = quantize(x, spec(), MatrixView::weight);
  const QuantizedTensor matrix = quantize(x.reshaped({10, 288}), spec(), MatrixView::weight);
  EXPECT_TRUE(equal_bytes(conv.scale, matrix.scale));
  EXPECT_EQ(dequantize(conv, MatrixView::weight).to_floats(),
            dequantize(matrix, MatrixView::weight).to_floats());
}

std::vector<std::string> algebra(bool zero_point) {
  std::vector<std::string> specs;
  for (const char* format : {"e4m3", "e5m2", "e3m2", "e2m2", "e2m1", "i8", "i7", "i6", "i5", "i4",
                             "i3", "i2", "u8", "u7", "u5", "u4", "u3", "u2", "u1"}) {
    for (const char* tile : {"*x*", "1x*", "1x16", "4x32", "*x8"}) {
      for (const char* scale : {"f32", "f16", "bf16", "e8m0", "e4m3", "mx"}) {
        if (zero_point && std::string_view(scale) == "mx") continue;
        if (zero_point ? format[0] == 'e' : format[0] == 'u') continue;
        specs.push_back(
            fmt::format("{}/{}/static/{}{}", format, tile, scale, zero_point ? "/zp" : ""));
      }
    }
  }
  return specs;
}
constexpr auto kName = [](const auto& i) {
  std::string text;
  for (const char c : i.param) text += c == '*' ? 'A' : std::isalnum(c) ? c : '_';
  return text;
};
INSTANTIATE_TEST_SUITE_P(Symmetric, Algebra, ::testing::ValuesIn(algebra(false)), kName);
INSTANTIATE_TEST_SUITE_P(ZeroPoint, Algebra, ::testing::ValuesIn(algebra(true)), kName);
INSTANTIATE_TEST_SUITE_P(All, SymmetricAlgebra, ::testing::ValuesIn(algebra(false)), kName);

TEST(Quantize, AllCodesOfAZeroPointGrid) {
  // 256 values in steps of 0.25 from -10: code c stands for (c - zero_point) / 4.
  std::vector<float> values(256);
  for (int i = 0; i < 256; ++i) values[static_cast<size_t>(i)] = (i - 40) * 0.25f;
  const Tensor x = Tensor::from(values, {1, 256});
  const QuantizedTensor q = quantize(x, spec_of("i8/1x*/dynamic/f32/zp"), MatrixView::activation);
  EXPECT_THAT(q.scale.to_floats(), ::testing::ElementsAre(0.25f));
  EXPECT_THAT(q.zero_point.to_floats(), ::testing::ElementsAre(-88));
  for (int i = 0; i < 256; ++i) EXPECT_EQ(q.codes.as<int8_t>()[i], i - 128);
  EXPECT_EQ(dequantize(q, MatrixView::activation).to_floats(), values);
  // A range that does not contain 0 is widened to it, from either side.
  for (const float sign : {1.0f, -1.0f}) {
    const Tensor far = Tensor::from({sign * 9, sign * 10, sign * 12.75f}, {1, 3});
    const QuantizedTensor w = quantize(far, q.spec, MatrixView::activation);
    EXPECT_THAT(w.scale.to_floats(), ::testing::ElementsAre(0.05f));
    EXPECT_THAT(w.zero_point.to_floats(), ::testing::ElementsAre(sign > 0 ? -128 : 127));
  }
}

TEST(Quantize, RoundsHalfToEvenBeforeTheZeroPointIsAdded) {
  // s = 1, zero point -127 + ...: 0.5 and 1.5 steps round to 0 and 2 whatever is added after.
  const Tensor x = Tensor::from({-3, 252, 0.5f, 1.5f, 2.5f}, {1, 5});
  const QuantizedTensor q = quantize(x, spec_of("i8/1x*/dynamic/f32/zp"), MatrixView::activation);
  EXPECT_THAT(dequantize(q, MatrixView::activation).to_floats(),
              ::testing::ElementsAre(-3, 252, 0, 2, 2));
}

TEST(Quantize, ScaleIsRoundedBeforeItDivides) {
  // absmax / 127 is not a bf16; codes belong to the rounded scale.
  const Tensor x = Tensor::from({100, 63.7f}, {1, 2});
  const QuantizedTensor q = quantize(x, spec_of("i8/1x*/static/bf16"), MatrixView::weight);
  const float s = q.scale.to_floats()[0];
  EXPECT_EQ(s, to_float(to_bf16(100.0f / 127)));
  EXPECT_EQ(q.codes.as<int8_t>()[1], std::lrint(63.7f / s));
}

TEST(Quantize, PowerOfTwoScalesAreRoundedUp) {
  const QuantSpec spec = spec_of("e4m3/1x32/static/e8m0");
  EXPECT_EQ(scale_for_absmax(spec, 448), 1);
  EXPECT_EQ(scale_for_absmax(spec, 448.00003f), 2);
  EXPECT_EQ(scale_for_absmax(spec, 449 * 0.25f), 0.5f);
  EXPECT_EQ(scale_for_absmax(spec, 0), 0x1p-48f);  // 1e-12 / 448, upwards
}

// OCP Microscaling Formats v1.0, 6.3: 2^(floor(log2 absmax) - floor(log2 top)).
TEST(Quantize, ScalesOfMicroscalingFormatsAreRoundedDown) {
  const QuantSpec fp8 = spec_of("e4m3/1x32/static/mx"), fp4 = spec_of("e2m1/1x32/static/mx");
  EXPECT_EQ(scale_for_absmax(fp8, 256), 1);
  EXPECT_EQ(scale_for_absmax(fp8, 511.9f), 1) << "and 511.9 becomes 448";
  EXPECT_EQ(scale_for_absmax(fp8, 512), 2);
  EXPECT_EQ(scale_for_absmax(fp4, 4), 1);
  EXPECT_EQ(scale_for_absmax(fp4, 7.9f), 1);
  EXPECT_EQ(scale_for_absmax(spec_of("e3m2/1x32/static/mx"), 16), 1);
  EXPECT_EQ(scale_for_absmax(spec_of("e5m2/1x32/static/mx"), 32768), 1);
  EXPECT_EQ(scale_for_absmax(spec_of("i8/1x32/static/mx"), 64), 1) << "MXINT8 in units of 1/64";
  EXPECT_EQ(scale_format(fp8), DType::e8m0);
  const Tensor x = Tensor::from({511.9f, -3e4f, 1, 0}, {1, 4});
  EXPECT_THAT(
      dequantize(quantize(x, spec_of("e5m2/1x*/static/mx"), MatrixView::weight), MatrixView::weight)
          .to_floats(),
      ::testing::ElementsAre(512, -28672, 1, 0));
}

TEST(Quantize, TwoLevelsOfScales) {
  const QuantSpec spec = spec_of("e2m1/1x2/static/e4m3*f32");
  // The tensor's scale is 1; tiles of 2688, 0 and 3: 448, 1, and 0.5 of e4m3.
  const Tensor x = Tensor::from({2688, -400, 0, 0, 3, 0.6f}, {1, 6});
  const QuantizedTensor q = quantize(x, spec, MatrixView::weight);
  EXPECT_THAT(q.tensor_scale.to_floats(), ::testing::ElementsAre(1));
  EXPECT_EQ(q.scale.dtype(), DType::e4m3);
  EXPECT_THAT(q.scale.to_floats(), ::testing::ElementsAre(448, 1, 0.5f));
  EXPECT_THAT(dequantize(q, MatrixView::weight).to_floats(),
              ::testing::ElementsAre(2688, -448, 0, 0, 3, 0.5f));
  const QuantizedTensor zero =
      quantize(Tensor::zeros(DType::f32, {1, 6}), spec, MatrixView::weight);
  EXPECT_GT(zero.tensor_scale.as<float>()[0], 0);
  EXPECT_EQ(error_of([&] { quantize_with_scale(x, spec, MatrixView::weight, q.scale); }).code(),
            ErrorCode::invalid_argument);
}

TEST(Quantize, BitsOfStorage) {
  const auto bits = [](const char* spec) { return bits_per_value(spec_of(spec), 8, 128); };
  EXPECT_EQ(bits("i8/*x*/static/f32"), 8 + 32.0 / 1024);
  EXPECT_EQ(bits("i5/1x64/static/f16"), 5.25);
  EXPECT_EQ(bits("u3/1x64/static/f16/zp"), 3.75);
  EXPECT_EQ(bits("e4m3/1x32/static/mx"), 8.25);
  EXPECT_EQ(bits("e2m1/1x16/static/e4m3*f32"), 4.5 + 32.0 / 1024);
  EXPECT_EQ(bits_per_value(spec_of("i3/1x*/static/f32"), 2, 5), (2 * 16 + 64) / 10.0) << "padding";
}

TEST(Quantize, ScalesStayWithinTheirFormat) {
  EXPECT_EQ(scale_for_absmax(spec_of("i8/*x*/static/f32"), 0), 1e-12f / 127);
  EXPECT_EQ(scale_for_absmax(spec_of("i8/*x*/static/f32"), 127), 1);
  EXPECT_EQ(scale_for_absmax(spec_of("i8/*x*/static/f16"), 0), 0x1p-24f);
  EXPECT_EQ(scale_for_absmax(spec_of("i4/*x*/static/f16"), 3e38f), 65504);
  EXPECT_EQ(scale_for_absmax(spec_of("e2m1/*x*/static/e4m3"), 0), 0x1p-9f);
  EXPECT_EQ(scale_for_absmax(spec_of("e2m1/*x*/static/e4m3"), 3e4f), 448);
  EXPECT_EQ(top_code(spec_of("i8/*x*/static/f32")), 127);
  EXPECT_EQ(top_code(spec_of("i4/*x*/static/f32")), 7);
  EXPECT_EQ(top_code(spec_of("e5m2/*x*/static/f32")), 57344);
}

TEST(Quantize, NotFiniteIsAnErrorWithNamePlaceAndValue) {
  for (const char* text : {"i8/*x*/static/f32", "e5m2/1x16/static/f32", "i4/1x*/static/f32/zp"}) {
    for (const auto& [bad, shown] : {std::pair{kInf, "inf"},
                                     {-kInf, "-inf"},
                                     {std::nanf(""), "nan"},
                                     {-std::nanf(""), "-nan"}}) {
      for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        Tensor x = random_tensor({4, 2, 48}, 2);
        x.as_mutable<float>()[2 * 96 + 48 + 7] = bad;
        x.as_mutable<float>()[3 * 96] = bad;
        const Error error = error_of([&] {
          quantize(x.to(dtype), spec_of(text), MatrixView::weight, "blocks.0.to_q.weight");
        });
        EXPECT_EQ(error.code(), ErrorCode::not_finite);
        EXPECT_EQ(
            std::string(error.what()),
            fmt::format("blocks.0.to_q.weight: element [2, 1, 7] of {} [4, 2, 48] is {}; only "
                        "finite values can be quantized",
                        name(dtype), shown));
      }
    }
  }
}

TEST(Quantize, SourcesThatMakeNoSenseAreRefused) {
  const auto code = [](const Tensor& t, const char* text = "i8/1x*/static/f32") {
    return error_of([&] { quantize(t, spec_of(text), MatrixView::weight); }).code();
  };
  EXPECT_EQ(code(Tensor::typed(DType::f32, {2, 2})), ErrorCode::invalid_argument);
  EXPECT_EQ(code(Tensor::zeros(DType::i8, {2, 2})), ErrorCode::invalid_argument);
  EXPECT_EQ(code(Tensor::zeros(DType::e2m1, {2, 2})), ErrorCode::invalid_argument);
  EXPECT_EQ(code(Tensor::zeros(DType::f32, {2, 100}), "i8/1x64/static/f32"),
            ErrorCode::invalid_argument);
  QuantSpec spec;
  spec.format = "f16";
  EXPECT_EQ(
      error_of([&] { quantize(Tensor::zeros(DType::f32, {2}), spec, MatrixView::weight); }).code(),
      ErrorCode::invalid_argument);
}

TEST(Quantize, MatrixExtents) {
  EXPECT_EQ(matrix_extents({6, 5, 3, 3}, MatrixView::weight), std::pair(int64_t{6}, int64_t{45}));
  EXPECT_EQ(matrix_extents({2, 64, 32}, MatrixView::activation),
            std::pair(int64_t{128}, int64_t{32}));
  EXPECT_EQ(matrix_extents({7}, MatrixView::weight), std::pair(int64_t{7}, int64_t{1}));
  EXPECT_EQ(matrix_extents({7}, MatrixView::activation), std::pair(int64_t{1}, int64_t{7}));
  EXPECT_EQ(matrix_extents({}, MatrixView::weight), std::pair(int64_t{1}, int64_t{1}));
  EXPECT_EQ(matrix_extents({5, 0, 3}, MatrixView::activation), std::pair(int64_t{0}, int64_t{3}));
}

TEST(QuantizeWithScale, DividesByWhatItIsGivenAndSaturates) {
  const Tensor x = Tensor::from({1, -1, 2.6f, 1000, -1000, 0}, {1, 6});
  const QuantizedTensor q = quantize_with_scale(
      x, spec_of("i8/*x*/static/f32"), MatrixView::activation, Tensor::from({0.5f}, {1, 1}));
  EXPECT_THAT(dequantize(q, MatrixView::activation).to_floats(),
              ::testing::ElementsAre(1, -1, 2.5f, 63.5f, -64, 0));
  for (const char* format : {"e4m3", "e5m2", "e2m1"}) {
    const QuantizedTensor f = quantize_with_scale(
        Tensor::from({3e38f, -3e38f}, {1, 2}), spec_of(fmt::format("{}/*x*/static/f32", format)),
        MatrixView::activation, Tensor::from({0.5f}, {1, 1}));
    const float top = 0.5f * top_code(f.spec);
    EXPECT_THAT(dequantize(f, MatrixView::activation).to_floats(),
                ::testing::ElementsAre(top, -top));
  }
}

TEST(QuantizeWithScale, ItsOwnScaleGivesTheSameCodes) {
  const Tensor x = random_tensor({5, 64}, 8);
  for (const char* text : {"i8/1x*/static/f32", "e4m3/*x*/static/f32", "i4/1x32/static/f16"}) {
    const QuantizedTensor q = quantize(x, spec_of(text), MatrixView::activation);
    EXPECT_TRUE(equal_bytes(quantize_with_scale(x, q.spec, MatrixView::activation, q.scale).codes,
                            q.codes));
  }
}

TEST(QuantizeWithScale, BadScalesAndValuesAreRefused) {
  const Tensor x = Tensor::zeros(DType::f32, {4, 8});
  const auto code = [&](const char* text, const Tensor& scale, const Tensor& source) {
    return error_of([&] {
             quantize_with_scale(source, spec_of(text), MatrixView::activation, scale, "x");
           })
        .code();
  };
  const char* spec = "i8/1x*/static/f32";
  const auto scale = [](float s) { return Tensor::from({1, 1, 1, s}, {4, 1}); };
  EXPECT_EQ(code(spec, Tensor::from({1}, {1, 1}), x), ErrorCode::invalid_argument);
  EXPECT_EQ(code(spec, scale(1).to(DType::f16), x), ErrorCode::invalid_argument);
  for (const float s : {0.0f, -1.0f, kInf, std::nanf("")}) {
    EXPECT_EQ(code(spec, scale(s), x), ErrorCode::invalid_argument) << s;
  }
  EXPECT_EQ(code("i8/1x*/static/f32/zp", scale(1), x), ErrorCode::invalid_argument);
  Tensor bad = x.clone();
  bad.as_mutable<float>()[9] = kInf;
  EXPECT_EQ(code(spec, scale(1), bad), ErrorCode::not_finite);
  EXPECT_EQ(code("e4m3/1x*/static/f32", scale(1), bad), ErrorCode::not_finite);
}

}  // namespace
}  // namespace octavo
