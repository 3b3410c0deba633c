#include "tensor/codec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "tensor/float_codec.h"

namespace octavo {
namespace {

// Codec<D>: Stored (one element a code, before packing), encode, decode, kHasNaN.
template <DType D>
struct Codec : FloatCodec<D> {
  using Stored = std::conditional_t<(format_of(D).bits > 8), uint16_t, uint8_t>;
  static constexpr bool kHasNaN = !FloatCodec<D>::kFiniteOnly;
};

template <>
struct Codec<DType::f32> {
  using Stored = uint32_t;
  static constexpr bool kHasNaN = true;
  static uint32_t encode(float v) { return std::bit_cast<uint32_t>(v); }
  static float decode(uint32_t code) { return std::bit_cast<float>(code); }
};

// A power of two has no even or odd: a tie (1.5 x 2^e) goes up, as in ml_dtypes.
template <>
struct Codec<DType::e8m0> {
  using Stored = uint8_t;
  static constexpr bool kHasNaN = true;
  static uint32_t encode(float v) {
    const uint32_t bits = std::bit_cast<uint32_t>(v);
    const uint32_t subnormal = bits > 0x5fffffu;  // f32 subnormals from 1.5 x 2^-127 upwards
    const uint32_t code = bits < 0x800000u ? subnormal : (bits + 0x400000u) >> 23;
    return v > 0 ? std::min(code, 254u) : 255u;
  }
  static float decode(uint32_t code) {
    const uint32_t normal = code == 0 ? 0x400000u : code << 23;
    return std::bit_cast<float>(code == 255 ? 0x7fc00000u : normal);
  }
};

// Integers of 8 bits or fewer. Adding 1.5 x 2^23 leaves the value, rounded to nearest even, in the
// low mantissa bits.
template <int kBits, bool kSigned>
struct SmallInteger {
  using Stored = uint8_t;
  static constexpr bool kHasNaN = false;
  static constexpr int kHigh = (1 << (kBits - (kSigned ? 1 : 0))) - 1, kLow = kSigned ? ~kHigh : 0;
  static uint32_t encode(float v) {
    v = v == v ? v : 0.0f;
    v = v > kLow ? v : static_cast<float>(kLow);
    v = v < kHigh ? v : static_cast<float>(kHigh);
    constexpr float kAlign = 12582912.0f;
    return std::bit_cast<uint32_t>(v + kAlign) & ((1u << kBits) - 1);
  }
  static float decode(uint32_t code) {
    const uint32_t top = code << (32 - kBits);
    return kSigned ? static_cast<float>(static_cast<int32_t>(top) >> (32 - kBits))
                   : static_cast<float>(code);
  }
};
template <DType D>
requires(format_of(D).kind == DTypeKind::integer && format_of(D).bits <= 8) struct Codec<D>
    : SmallInteger<format_of(D).bits, format_of(D).name[0] == 'i'> {
};

template <>
struct Codec<DType::boolean> {
  using Stored = uint8_t;
  static constexpr bool kHasNaN = false;
  static uint32_t encode(float v) { return v < 0 || v > 0; }
  static float decode(uint32_t code) { return code != 0; }
};

// 32 and 64 bits; a code of 64 bits exists in rows only.
template <class T>
struct Wide {
  using Stored = T;
  static constexpr bool kHasNaN = !std::is_integral_v<T>;
  static T encode(float v) {
    if constexpr (std::is_integral_v<T>) {
      constexpr float kEnd = -static_cast<float>(std::numeric_limits<T>::min());
      if (v >= kEnd) return std::numeric_limits<T>::max();
      if (v < -kEnd) return std::numeric_limits<T>::min();
      return v == v ? static_cast<T>(std::nearbyint(v)) : 0;
    } else {
      return v;
    }
  }
  static float decode(T code) { return static_cast<float>(code); }
};
template <>
struct Codec<DType::i32> : Wide<int32_t> {};
template <>
struct Codec<DType::i64> : Wide<int64_t> {};
template <>
struct Codec<DType::f64> : Wide<double> {};

template <class C, size_t... kCode>
constexpr auto make_decode_table(std::index_sequence<kCode...>) {
  return std::array<float, sizeof...(kCode)>{C::decode(kCode)...};
}
// Read by 8-bit float formats and by those that are unpacked to one code a byte.
template <DType D>
const auto kDecodeTable =
    make_decode_table<Codec<D>>(std::make_index_sequence<size_t{1} << format_of(D).bits>());

constexpr int64_t kChunk = 1024;  // codes unpacked at a time; a multiple of 8: whole bytes

template <DType D>
bool encode_unpacked(const float* src, typename Codec<D>::Stored* dst, int64_t n) {
  uint32_t nan = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float v = src[i];
    if constexpr (!Codec<D>::kHasNaN) nan |= v != v;
    dst[i] = static_cast<typename Codec<D>::Stored>(Codec<D>::encode(v));
  }
  return nan != 0;
}

template <DType D>
void encode_row_as(const float* src, void* dst, int64_t n) {
  using Stored = typename Codec<D>::Stored;
  constexpr int kBits = format_of(D).bits;
  bool nan = false;
  if constexpr (kBits >= 8) {
    nan = encode_unpacked<D>(src, static_cast<Stored*>(dst), n);
  } else {
    uint8_t codes[kChunk];
    for (int64_t at = 0; at < n; at += kChunk) {
      const int64_t count = std::min(kChunk, n - at);
      nan |= encode_unpacked<D>(src + at, codes, count);
      pack_codes(kBits, codes, static_cast<uint8_t*>(dst) + at / 8 * kBits, count);
    }
  }
  OCTAVO_CHECK_CODE(not_finite, !nan, "NaN among {} values to encode as {}, which has no NaN", n,
                    name(D));
}

template <DType D>
void decode_unpacked(const typename Codec<D>::Stored* src, float* dst, int64_t n) {
  constexpr bool kByTable = format_of(D).kind == DTypeKind::floating && format_of(D).bits <= 8;
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (kByTable)
      dst[i] = kDecodeTable<D>[src[i]];
    else
      dst[i] = Codec<D>::decode(src[i]);
  }
}

template <DType D>
void decode_row_as(const void* src, float* dst, int64_t n) {
  constexpr int kBits = format_of(D).bits;
  if constexpr (kBits >= 8) {
    decode_unpacked<D>(static_cast<const typename Codec<D>::Stored*>(src), dst, n);
  } else {
    uint8_t codes[kChunk];
    for (int64_t at = 0; at < n; at += kChunk) {
      const int64_t count = std::min(kChunk, n - at);
      unpack_codes(kBits, static_cast<const uint8_t*>(src) + at / 8 * kBits, codes, count);
      decode_unpacked<D>(codes, dst + at, count);
    }
  }
}

struct Functions {
  uint32_t (*encode)(float);
  float (*decode)(uint32_t);
  void (*encode_row)(const float*, void*, int64_t);
  void (*decode_row)(const void*, float*, int64_t);
};

template <DType D>
constexpr Functions functions_of() {
  if constexpr (format_of(D).bits == 64) {
    return {nullptr, nullptr, encode_row_as<D>, decode_row_as<D>};
  } else {
    return {[](float v) { return static_cast<uint32_t>(Codec<D>::encode(v)); },
            [](uint32_t code) {
              return Codec<D>::decode(static_cast<typename Codec<D>::Stored>(code));
            },
            encode_row_as<D>, decode_row_as<D>};
  }
}

template <size_t... kIndex>
constexpr auto make_functions(std::index_sequence<kIndex...>) {
  return std::array{functions_of<static_cast<DType>(kIndex)>()...};
}
constexpr auto kFunctions = make_functions(std::make_index_sequence<kFormatTable.size()>());

const Functions& functions(DType dtype) {
  OCTAVO_ASSERT(static_cast<size_t>(dtype) < kFunctions.size());
  return kFunctions[static_cast<size_t>(dtype)];
}

}  // namespace

uint32_t encode(DType dtype, float value) {
  const auto one = functions(dtype).encode;
  OCTAVO_CHECK(one != nullptr, "{} has codes of 64 bits: use encode_row", name(dtype));
  return one(value);
}

float decode(DType dtype, uint32_t code) {
  const auto one = functions(dtype).decode;
  OCTAVO_CHECK(one != nullptr, "{} has codes of 64 bits: use decode_row", name(dtype));
  return one(code);
}

void encode_row(DType dtype, const float* src, void* dst, int64_t n) {
  functions(dtype).encode_row(src, dst, n);
}

void decode_row(DType dtype, const void* src, float* dst, int64_t n) {
  functions(dtype).decode_row(src, dst, n);
}

float to_float(BFloat16 v) { return Codec<DType::bf16>::decode(v.bits); }
float to_float(Float16 v) { return Codec<DType::f16>::decode(v.bits); }
BFloat16 to_bf16(float v) { return {static_cast<uint16_t>(Codec<DType::bf16>::encode(v))}; }
Float16 to_f16(float v) { return {static_cast<uint16_t>(Codec<DType::f16>::encode(v))}; }

}  // namespace octavo
