#pragma once
// Codes on the device, bit for bit those of tensor/codec.h: to nearest even, saturating (e5m2
// overflows to infinity). Float formats are tensor/float_codec.h itself, which nvcc compiles for
// the device too; e4m3 and e5m2 take the hardware's conversion where it has the same bits.
#include "kernels/cuda/element.cuh"
#include "tensor/float_codec.h"

namespace octavo::cuda {

// Integers of 8 bits or fewer. Adding 1.5 x 2^23 leaves the value, rounded to nearest even, in the
// low mantissa bits.
constexpr float kIntegerAlign = 12582912.0f;

template <int kBits>
struct IntegerCodec {
  static constexpr bool kHasNaN = false;
  static constexpr float kHigh = (1 << (kBits - 1)) - 1, kLow = -kHigh - 1;
  __device__ static uint32_t encode(float v) {  // NaN: 0
    v = v == v ? fminf(fmaxf(v, kLow), kHigh) : 0.0f;
    return __float_as_uint(v + kIntegerAlign) & ((1u << kBits) - 1);
  }
  __device__ static float decode(uint32_t code) {
    return static_cast<float>(static_cast<int32_t>(code << (32 - kBits)) >> (32 - kBits));
  }
};

// Codec<D>: encode(float), decode(code), kHasNaN.
template <DType D>
struct Codec : FloatCodec<D> {
  static constexpr bool kHasNaN = !FloatCodec<D>::kFiniteOnly;
};
template <>
struct Codec<DType::i8> : IntegerCodec<8> {};
template <>
struct Codec<DType::i4> : IntegerCodec<4> {};

template <DType D>
struct Format {
  static constexpr DType value = D;
};

// body(Format<D>{}), on the host or the device, for the formats of one byte a code, whose codes
// kernels write as they go.
constexpr bool is_byte_format(DType d) {
  return d == DType::i8 || d == DType::e4m3 || d == DType::e5m2;
}
template <class Body>
__host__ __device__ void with_byte_format(DType format, Body&& body) {
  if (format == DType::i8) return body(Format<DType::i8>{});
  if (format == DType::e4m3) return body(Format<DType::e4m3>{});
  body(Format<DType::e5m2>{});
}
// For every format that a QuantSpec names.
template <class Body>
__host__ __device__ void with_code_format(DType format, Body&& body) {
  if (is_byte_format(format)) return with_byte_format(format, body);
  if (format == DType::i4) return body(Format<DType::i4>{});
  if (format == DType::e2m1) return body(Format<DType::e2m1>{});
  if (format == DType::e2m2) return body(Format<DType::e2m2>{});
  body(Format<DType::e3m2>{});
}

// Two byte codes, `low` in the low byte, of numbers that e5m2 does not overflow for.
template <DType D>
__device__ uint32_t encode_pair(float low, float high) {
  if constexpr (D == DType::i8) {
    const float a = fminf(fmaxf(low, -128.0f), 127.0f) + kIntegerAlign;
    const float b = fminf(fmaxf(high, -128.0f), 127.0f) + kIntegerAlign;
    return __byte_perm(__float_as_uint(a), __float_as_uint(b), 0x0040) & 0xffff;
  }
#if __CUDA_ARCH__ >= 890
  if constexpr (D == DType::e4m3) {
    uint16_t codes;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(high), "f"(low));
    return codes;
  }
  if constexpr (D == DType::e5m2) {
    uint16_t codes;
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(high), "f"(low));
    return codes;
  }
#endif
  return Codec<D>::encode(low) | Codec<D>::encode(high) << 8;
}

// Four codes of i8 from numbers that the format holds, to which kIntegerAlign was added.
__device__ inline uint32_t join_integers(const float (&v)[4]) {
  const auto bits = [&](int i) { return __float_as_uint(v[i]); };
  return __byte_perm(__byte_perm(bits(0), bits(1), 0x0040), __byte_perm(bits(2), bits(3), 0x0040),
                     0x5410);
}

// codes = encode(x / scale) for one scale > 0, and whether a NaN met a format that has none.
//
// Values with |x| < bound take a quotient from the scale's reciprocal that is the true one, bit for
// bit, wherever it can decide a code: with y = 1/s rounded to nearest and q within one unit of x/s,
// q + y (x - s q) rounds to the quotient (Markstein), and the step before brings q there. Scales
// near the ends of f32 (bound = 0), NaN and values far beyond the format take the slow way.
template <DType D>
class ScaledEncoder {
 public:
  __device__ explicit ScaledEncoder(float scale) : scale_(scale), reciprocal_(1.0f / scale) {
    const bool usual = scale > 0x1p-70f && scale < 0x1p70f;
    bound_ = usual ? scale * kFastLimit : 0.0f;
  }

  __device__ uint32_t encode(float x) {
    if (is_fast(x)) return encode_pair<D>(quotient(x), 0.0f) & 0xff;
    return encode_slowly(x);
  }
  // The code of x[0] in the low byte. One byte a code: for i8, e4m3, e5m2.
  __device__ uint32_t encode4(const float (&x)[4]) {
    if (is_fast(x[0]) && is_fast(x[1]) && is_fast(x[2]) && is_fast(x[3])) {
      const uint32_t low = encode_pair<D>(quotient(x[0]), quotient(x[1]));
      return low | encode_pair<D>(quotient(x[2]), quotient(x[3])) << 16;
    }
    uint32_t word = 0;
#pragma unroll 1
    for (int i = 0; i < 4; ++i) {
      // Selected, not indexed: an index that is not a constant would put x into memory.
      const float v = i == 0 ? x[0] : i == 1 ? x[1] : i == 2 ? x[2] : x[3];
      word |= encode_slowly(v) << (8 * i);
    }
    return word;
  }
  __device__ bool met_nan() const { return met_nan_; }

 private:
  // Of x / scale. e5m2: below the tie between the largest value and infinity.
  static constexpr float kFastLimit = D == DType::e5m2 ? 60000.0f : 0x1p20f;

  __device__ bool is_fast(float x) const { return fabsf(x) < bound_; }

  // In this form -0 stays -0.
  __device__ float quotient(float x) const {
    float q = x * reciprocal_;
    q = fmaf(fmaf(scale_, q, -x), -reciprocal_, q);
    return fmaf(fmaf(scale_, q, -x), -reciprocal_, q);
  }

  __device__ uint32_t encode_slowly(float x) {
    const bool nan = x != x;
    if constexpr (!Codec<D>::kHasNaN) met_nan_ |= nan;
    return Codec<D>::encode(nan ? x : x / scale_);  // a NaN keeps its sign
  }

  float scale_, reciprocal_, bound_;
  bool met_nan_ = false;
};

// The same for values that are rounded themselves: x / scale is x (1 / scale), off by a unit in the
// last place. For i8 and e4m3, and scales whose reciprocal is finite, as every usable one's is.
template <DType D>
class NearEncoder {
 public:
  __device__ explicit NearEncoder(float scale)
      : reciprocal_(fminf(1.0f / scale, 0x1.fffffep127f)) {}

  __device__ uint32_t encode(float x) { return encode4({x, 0.0f, 0.0f, 0.0f}) & 0xff; }
  __device__ uint32_t encode4(const float (&x)[4]) {
    float q[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      q[i] = x[i] * reciprocal_;
    }
    if constexpr (!Codec<D>::kHasNaN) {
      met_nan_ |= (q[0] != q[0] || q[1] != q[1]) || (q[2] != q[2] || q[3] != q[3]);
    }
    return encode_pair<D>(q[0], q[1]) | encode_pair<D>(q[2], q[3]) << 16;
  }
  __device__ bool met_nan() const { return met_nan_; }
  __device__ float reciprocal() const { return reciprocal_; }

 private:
  float reciprocal_;
  bool met_nan_ = false;
};

// Scales
// -------------------------------------------------------------------------------------------

// max(absmax, 1e-12) / top, rounded to the scale's format, as tensor/quantize.h has it.
template <DType D>
__device__ float round_scale_as(float s) {
  const uint32_t code =
      FloatCodec<D>::encode(fminf(s, static_cast<float>(FloatCodec<D>::kInfo.max)));
  return FloatCodec<D>::decode(code > 1 ? code : 1);
}
__device__ inline float scale_for_absmax(DType scale_format, float top, float absmax) {
  const float s = fmaxf(absmax, 1e-12f) / top;
  switch (scale_format) {
    case DType::f16:
      return round_scale_as<DType::f16>(s);
    case DType::bf16:
      return round_scale_as<DType::bf16>(s);
    case DType::e4m3:
      return round_scale_as<DType::e4m3>(s);
    case DType::e8m0: {  // up to a power of two, at most 2^127 and not below 2^-126
      const uint32_t bits = (__float_as_uint(s) + 0x7fffffu) & 0x7f800000u;
      return __uint_as_float(min(max(bits, 0x800000u), 0x7f000000u));
    }
    default:
      return s;
  }
}

// A scale operand of any format that a QuantSpec stores scales in.
constexpr bool is_scale_format(DType d) {
  return d == DType::f32 || d == DType::f16 || d == DType::bf16 || d == DType::e4m3 ||
         d == DType::e8m0;
}
struct AnyScale {
  const void* data;
  DType dtype;
  __device__ float operator[](int64_t i) const {
    if (dtype == DType::e4m3) {
      return FloatCodec<DType::e4m3>::decode(static_cast<const uint8_t*>(data)[i]);
    }
    if (dtype == DType::e8m0) {
      const uint32_t code = static_cast<const uint8_t*>(data)[i];
      const uint32_t bits = code == 0 ? 0x400000u : code << 23;
      return __uint_as_float(code == 255 ? 0x7fc00000u : bits);
    }
    return AnyFloat{data, dtype}[i];
  }
};

}  // namespace octavo::cuda
