// Every code and every rounding tie of every format against ml_dtypes and numpy
// (make_codec_goldens.py), and what those do not say: packing, NaN, the places where Octavo
// saturates and ml_dtypes does not.
#include "tensor/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "golden_file.h"
#include "support.h"

namespace octavo {
namespace {

using test::error_of;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

const test::GoldenFile& goldens() {
  static const test::GoldenFile file = test::read_goldens("codec.safetensors");
  return file;
}

bool same_value(float a, float b) {  // tells -0 from 0; all NaNs are one
  return (std::isnan(a) && std::isnan(b)) ||
         std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

// The code that Octavo gives where it means to differ from the witness, or the witness's.
uint32_t expected_code(DType dtype, float x, uint32_t witness) {
  // ml_dtypes makes NaN of e4m3 values beyond 464 (half a step above 448) and of infinities.
  if (dtype == DType::e4m3 && std::fabs(x) > 464) return std::signbit(x) ? 0xfe : 0x7e;
  if (dtype == DType::e8m0) {
    // Likewise from 1.5 x 2^127 upwards.
    if (x >= 0x1.8p127f) return 254;
    // ml_dtypes takes every float32 subnormal above 2^-127 to 2^-126, also from below the middle.
    if (x > 0x1p-127f && x < 0x1.8p-127f) return 0;
  }
  return witness;
}

class Codecs : public ::testing::TestWithParam<DType> {
 protected:
  std::string key(const char* what) const { return fmt::format("{}.{}", name(GetParam()), what); }
};
class SmallCodecs : public Codecs {};  // 8 bits or fewer
class FloatCodecs : public Codecs {};  // with a mantissa

TEST_P(SmallCodecs, EveryCodeDecodesToTheWitnessValue) {
  const Tensor& values = goldens()[key("decode")];
  ASSERT_EQ(values.elements(), 1 << info(GetParam()).bits);
  for (uint32_t code = 0; code < values.elements(); ++code) {
    EXPECT_TRUE(same_value(decode(GetParam(), code), values.as<float>()[code]))
        << "code " << code << ": " << decode(GetParam(), code) << ", not "
        << values.as<float>()[code];
  }
}

TEST_P(Codecs, RoundsAsTheWitness) {
  const Tensor& x = goldens()[key("x")];
  const std::vector<float> codes = goldens()[key("code")].to_floats();
  ASSERT_GT(x.elements(), 1000);
  for (int64_t i = 0; i < x.elements(); ++i) {
    const float v = x.as<float>()[i];
    const auto witness = static_cast<uint32_t>(codes[static_cast<size_t>(i)]);
    if (std::isnan(v)) {  // numpy keeps the payload of an f16 NaN; a NaN with its sign is enough
      EXPECT_TRUE(std::isnan(decode(GetParam(), encode(GetParam(), v))));
      EXPECT_EQ(std::signbit(decode(GetParam(), encode(GetParam(), v))),
                std::signbit(decode(GetParam(), witness)));
      continue;
    }
    EXPECT_EQ(encode(GetParam(), v), expected_code(GetParam(), v, witness))
        << fmt::format("{} ({:a})", v, v);
  }
}

TEST_P(Codecs, EveryValueEncodesToItsCode) {
  for (uint32_t code = 0; code < 1u << info(GetParam()).bits; ++code) {
    const float v = decode(GetParam(), code);
    if (!std::isnan(v)) {
      EXPECT_EQ(encode(GetParam(), v), code) << v;
    }
  }
}

// All pairs of neighbours, of 16-bit formats too: the tie goes to the even code, its neighbours in
// f32 to the nearer value.
TEST_P(FloatCodecs, TiesGoToTheEvenCode) {
  const DType d = GetParam();
  for (uint32_t code = 0; decode(d, code) < info(d).max; ++code) {
    const float low = decode(d, code), high = decode(d, code + 1);
    const float tie = low + (high - low) / 2;  // exact: all but bf16 have far fewer bits than f32
    ASSERT_EQ(encode(d, tie), code + (code & 1)) << tie;
    ASSERT_EQ(encode(d, std::nextafter(tie, 0.0f)), code) << tie;
    ASSERT_EQ(encode(d, std::nextafter(tie, kInf)), code + 1) << tie;
  }
}

TEST_P(Codecs, RowsEqualSingleValues) {
  const DType d = GetParam();
  std::vector<float> x = goldens()[key("x")].to_floats();
  if (d == DType::bf16 || d == DType::f16) x.push_back(kNaN);
  for (const int64_t n :
       {int64_t{0}, int64_t{1}, int64_t{7}, int64_t{1025}, static_cast<int64_t>(x.size())}) {
    const size_t bytes = static_cast<size_t>(row_bytes(d, n));
    std::vector<uint8_t> row(bytes + 1, 0xa5);
    encode_row(d, x.data(), row.data(), n);
    EXPECT_EQ(row[bytes], 0xa5) << "written beyond the row";
    std::vector<float> back(static_cast<size_t>(n) + 1, 3.25f);
    decode_row(d, row.data(), back.data(), n);
    EXPECT_EQ(back.back(), 3.25f) << "written beyond the row";
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      ASSERT_TRUE(same_value(back[i], decode(d, encode(d, x[i])))) << x[i] << " " << back[i];
    }
  }
}

constexpr auto kName = [](const auto& i) { return std::string(name(i.param)); };
const auto kSmallFloats =
    ::testing::Values(DType::e4m3, DType::e5m2, DType::e3m2, DType::e2m2, DType::e2m1);
INSTANTIATE_TEST_SUITE_P(SmallFloats, Codecs, kSmallFloats, kName);
INSTANTIATE_TEST_SUITE_P(Others, Codecs,
                         ::testing::Values(DType::f16, DType::bf16, DType::e8m0, DType::i8,
                                           DType::i4),
                         kName);
const auto kIntegers =
    ::testing::Values(DType::i7, DType::i6, DType::i5, DType::i3, DType::i2, DType::u8, DType::u7,
                      DType::u6, DType::u5, DType::u4, DType::u3, DType::u2, DType::u1);
INSTANTIATE_TEST_SUITE_P(Integers, Codecs, kIntegers, kName);
INSTANTIATE_TEST_SUITE_P(Integers, SmallCodecs, kIntegers, kName);
INSTANTIATE_TEST_SUITE_P(SmallFloats, SmallCodecs, kSmallFloats, kName);
INSTANTIATE_TEST_SUITE_P(Others, SmallCodecs, ::testing::Values(DType::e8m0, DType::i8, DType::i4),
                         kName);
INSTANTIATE_TEST_SUITE_P(SmallFloats, FloatCodecs, kSmallFloats, kName);
INSTANTIATE_TEST_SUITE_P(SixteenBits, FloatCodecs, ::testing::Values(DType::f16, DType::bf16),
                         kName);

TEST(Codec, EverySixteenBitCodeDecodes) {
  for (const DType d : {DType::f16, DType::bf16}) {
    uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
    for (uint32_t code = 0; code < 65536; ++code) {
      const float v = decode(d, code);
      const uint32_t bits = std::isnan(v) ? 0x7fc00000u : std::bit_cast<uint32_t>(v);
      for (int byte = 0; byte < 4; ++byte) {
        hash = (hash ^ (bits >> (8 * byte) & 0xff)) * 0x100000001b3u;
      }
    }
    const Tensor& expected = goldens()[fmt::format("{}.decode_hash", name(d))];
    EXPECT_EQ(static_cast<int64_t>(hash), expected.as<int64_t>()[0]) << name(d);
  }
}

TEST(Codec, OverflowIsInfiniteOnlyWhereTheFormatHasInfinity) {
  for (const DType d : {DType::e5m2, DType::f16, DType::bf16}) {
    EXPECT_EQ(decode(d, encode(d, 3.4e38f)), kInf) << name(d);
    EXPECT_EQ(decode(d, encode(d, -kInf)), -kInf) << name(d);
  }
  for (const DType d : {DType::e4m3, DType::e3m2, DType::e2m2, DType::e2m1, DType::i8, DType::i4,
                        DType::i5, DType::i2, DType::u8, DType::u3, DType::u1}) {
    EXPECT_EQ(decode(d, encode(d, kInf)), static_cast<float>(info(d).max)) << name(d);
    EXPECT_EQ(decode(d, encode(d, -3e38f)), static_cast<float>(lowest(d))) << name(d);
  }
}

TEST(Codec, LowestValues) {
  EXPECT_EQ(lowest(DType::e4m3), -448);
  EXPECT_EQ(lowest(DType::i8), -128);
  EXPECT_EQ(lowest(DType::i5), -16);
  EXPECT_EQ(lowest(DType::i2), -2);
  EXPECT_EQ(lowest(DType::u1), 0);
}

TEST(Codec, NaNIsKeptOrRefused) {
  const float x[3] = {1, kNaN, 2};
  uint8_t row[16];
  for (const DType d : {DType::e4m3, DType::e5m2, DType::e8m0, DType::f16, DType::bf16}) {
    EXPECT_TRUE(std::isnan(decode(d, encode(d, kNaN)))) << name(d);
    EXPECT_TRUE(std::isnan(decode(d, encode(d, -kNaN)))) << name(d);
    encode_row(d, x, row, 3);
  }
  for (const DType d : {DType::e3m2, DType::e2m2, DType::e2m1, DType::i8, DType::i4, DType::u8,
                        DType::i32, DType::i64, DType::boolean}) {
    if (d != DType::i64) {
      EXPECT_EQ(encode(d, kNaN), 0u) << name(d);
    }
    std::vector<uint8_t> wide(24);
    const Error error = error_of([&] { encode_row(d, x, wide.data(), 3); });
    EXPECT_EQ(error.code(), ErrorCode::not_finite) << name(d);
    EXPECT_NE(std::string(error.what()).find(name(d)), std::string::npos) << error.what();
  }
}

TEST(Codec, CodesOfSixtyFourBitsExistInRowsOnly) {
  EXPECT_EQ(error_of([] { encode(DType::f64, 1); }).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error_of([] { decode(DType::i64, 1); }).code(), ErrorCode::invalid_argument);
}

TEST(Codec, WideIntegersRoundAndSaturate) {
  const float x[] = {2.5f, -3.5f, 3e9f, -3e9f, 1e30f};
  int32_t i32[5];
  int64_t i64[5];
  encode_row(DType::i32, x, i32, 5);
  encode_row(DType::i64, x, i64, 5);
  EXPECT_THAT(i32, ::testing::ElementsAre(2, -4, 2147483647, -2147483647 - 1, 2147483647));
  EXPECT_THAT(i64, ::testing::ElementsAre(2, -4, 3000000000, -3000000000,
                                          std::numeric_limits<int64_t>::max()));
}

TEST(Packing, FourBitsPutElementZeroInTheLowNibble) {
  const uint8_t codes[3] = {0x1, 0xf, 0xa};
  uint8_t packed[2];
  pack_codes(4, codes, packed, 3);
  EXPECT_EQ(packed[0], 0xf1);
  EXPECT_EQ(packed[1], 0x0a);
}

TEST(Packing, IsALittleEndianBitStreamOfAnyLength) {
  test::Random random(1);
  for (int bits = 1; bits <= 8; ++bits) {
    for (int64_t n = 0; n <= 40; ++n) {
      std::vector<uint8_t> codes(static_cast<size_t>(n)), back(codes.size(), 0xee);
      for (uint8_t& c : codes) c = static_cast<uint8_t>(random.bits());  // higher bits are ignored
      const size_t bytes = static_cast<size_t>((n * bits + 7) / 8);
      std::vector<uint8_t> packed(bytes + 1, 0xa5);
      pack_codes(bits, codes.data(), packed.data(), n);
      EXPECT_EQ(packed[bytes], 0xa5);
      unpack_codes(bits, packed.data(), back.data(), n);
      for (size_t i = 0; i < codes.size(); ++i) {
        ASSERT_EQ(back[i], codes[i] & ((1 << bits) - 1)) << bits << " bits, " << n << " codes";
        for (int b = 0; b < bits; ++b) {
          const size_t at = i * static_cast<size_t>(bits) + static_cast<size_t>(b);
          ASSERT_EQ(packed[at / 8] >> (at % 8) & 1, codes[i] >> b & 1);
        }
      }
      for (size_t at = static_cast<size_t>(n * bits); at < 8 * bytes; ++at) {
        ASSERT_EQ(packed[at / 8] >> (at % 8) & 1, 0) << "padding is not zero";
      }
    }
  }
  uint8_t byte = 0;
  EXPECT_EQ(error_of([&] { pack_codes(9, &byte, &byte, 1); }).code(), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace octavo
