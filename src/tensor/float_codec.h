#pragma once
// One float codec for every format of 16 bits or fewer, compiled from the format table, for this
// floor and for devices (constants go by value: device code cannot refer to the host's).
// Branch-free, so that loops over it vectorise. Independent of the processor's flush-to-zero mode:
// no f32 subnormal decides the result of a float operation here.
#include <bit>
#include <cstdint>

#include "tensor/format_table.h"

namespace octavo {

// The value of a code without its sign, as if no code meant infinity or NaN.
constexpr float float_magnitude(int mantissa_bits, int bias, uint32_t code) {
  const int shift = 23 - mantissa_bits, rebias = 127 - bias;
  const uint32_t normal = (code << shift) + (static_cast<uint32_t>(rebias) << 23);
  if (rebias == 0) return std::bit_cast<float>(normal);
  // A subnormal m is (1 + m) 2^e - 2^e, with e the smallest normal exponent; exact.
  const uint32_t min_normal = static_cast<uint32_t>(rebias + 1) << 23;
  const float subnormal =
      std::bit_cast<float>((code << shift) + min_normal) - std::bit_cast<float>(min_normal);
  return (code >> mantissa_bits) == 0 ? subnormal : std::bit_cast<float>(normal);
}

template <DType D>
struct FloatCodec {
  static constexpr DTypeInfo kInfo = format_of(D);
  static constexpr int kMantissa = kInfo.mantissa_bits, kBias = kInfo.bias;
  static constexpr int kShift = 23 - kMantissa;     // f32 mantissa bits that are rounded away
  static constexpr uint32_t kRebias = 127 - kBias;  // f32 exponent - ours
  static constexpr uint32_t kMinNormal = (kRebias + 1) << 23;
  static constexpr uint32_t kSign = 1u << (kInfo.bits - 1), kMagnitude = kSign - 1;

  // What lies above the largest finite code follows from the table's max: nothing (finite only),
  // one NaN (e4m3), or IEEE's infinity and NaNs.
  static constexpr uint32_t kInfinity = kMagnitude >> kMantissa << kMantissa;
  static constexpr bool kFiniteOnly = float_magnitude(kMantissa, kBias, kMagnitude) == kInfo.max;
  static constexpr bool kIeee = float_magnitude(kMantissa, kBias, kInfinity - 1) == kInfo.max;
  static constexpr uint32_t kMaxCode = kIeee ? kInfinity - 1 : kMagnitude - (kFiniteOnly ? 0 : 1);
  static_assert(float_magnitude(kMantissa, kBias, kMaxCode) == kInfo.max,
                "the table's max is not a code");
  static constexpr uint32_t kOverflow = kIeee ? kInfinity : kMaxCode;
  static constexpr uint32_t kNaN = kIeee ? kInfinity | (kInfinity >> 1 & ~kInfinity) : kMagnitude;

  static constexpr float decode(uint32_t code) {
    const uint32_t m = code & kMagnitude;
    uint32_t bits = std::bit_cast<uint32_t>(float_magnitude(kMantissa, kBias, m));
    if constexpr (kIeee) {
      bits = m >= kInfinity ? 0x7f800000u | ((m - kInfinity) << kShift) : bits;
    } else if constexpr (!kFiniteOnly) {
      bits = m == kNaN ? 0x7fc00000u : bits;
    }
    return std::bit_cast<float>(bits | ((code & kSign) << (32 - kInfo.bits)));
  }

  // Nearest, ties to even. NaN becomes kNaN with its sign, 0 in finite-only formats.
  static constexpr uint32_t encode(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value), m = bits & 0x7fffffffu;
    // Half a step less one, plus one if the kept part is odd, carries exactly when the value has
    // to be rounded up; a carry out of the mantissa raises the exponent, as it should.
    const uint32_t rounded = m + ((1u << (kShift - 1)) - 1) + ((m >> kShift) & 1);
    uint32_t code = (rounded >> kShift) - (kRebias << kMantissa);
    if constexpr (kRebias != 0) {
      // Below the smallest normal the step is fixed: 2^(1 - bias - mantissa bits). It is the last
      // place of kAlign, so the f32 adder rounds to it.
      constexpr uint32_t kAlign = (kRebias + 1 + kShift) << 23;
      const float aligned = std::bit_cast<float>(m) + std::bit_cast<float>(kAlign);
      code = m < kMinNormal ? std::bit_cast<uint32_t>(aligned) - kAlign : code;
    }
    code = code > kMaxCode ? kOverflow : code;
    const uint32_t sign = (bits >> (32 - kInfo.bits)) & kSign;
    const bool nan = m > 0x7f800000u;
    if constexpr (kFiniteOnly) return nan ? 0 : code | sign;
    return (nan ? kNaN : code) | sign;
  }
};

}  // namespace octavo
