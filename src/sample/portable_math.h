#pragma once
// log and sine in double from +, -, *, / alone, so that IEEE arithmetic gives the same bits on
// every machine and in every C library (std::log and std::cos do not). Errors stay below 1e-15
// relative (log) and 1e-15 absolute (sine and cosine): far inside one rounding to f32.
#include <array>
#include <bit>
#include <cstdint>

namespace octavo {

// Natural logarithm of a normal positive number: x = m 2^e with m in [sqrt(1/2), sqrt(2)),
// log m = 2 atanh(s) = 2 (s + s^3/3 + ...) with s = (m - 1)/(m + 1), |s| < 0.172.
inline double portable_log(double x) {
  constexpr double kLn2High = 0x1.62e42feep-1;  // 33 bits: e * kLn2High is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  constexpr double kSqrt2 = 0x1.6a09e667f3bcdp0;
  const auto bits = std::bit_cast<uint64_t>(x);
  auto exponent = static_cast<int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffULL) | (1023ULL << 52));
  if (m >= kSqrt2) {
    m *= 0.5;
    ++exponent;
  }
  const double s = (m - 1) / (m + 1), s2 = s * s;
  double series = 0;
  for (int k = 23; k >= 3; k -= 2) series = (series + 1.0 / k) * s2;
  const auto e = static_cast<double>(exponent);
  return e * kLn2High + (2 * s + (2 * s * series + e * kLn2Low));
}

struct SinCos {
  double sin, cos;
};

// For |x| <= 2 pi: the nearest multiple of pi/2 is taken off in two parts, Taylor series do the
// rest.
inline SinCos portable_sincos(double x) {
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kHalfPiHigh = 0x1.921fb544p0;  // 33 bits
  constexpr double kHalfPiLow = 0x1.0b4611a626331p-34;
  const auto quadrant = static_cast<int64_t>(x * kTwoOverPi + (x < 0 ? -0.5 : 0.5));
  const auto q = static_cast<double>(quadrant);
  const double r = (x - q * kHalfPiHigh) - q * kHalfPiLow, r2 = r * r;
  double sine = 0, cosine = 0;  // the series without their first terms, by Horner
  for (int k = 19; k >= 3; k -= 2) sine = -(sine + 1) * r2 / (k * (k - 1));
  for (int k = 20; k >= 2; k -= 2) cosine = -(cosine + 1) * r2 / (k * (k - 1));
  const double s = r + r * sine, c = 1 + cosine;
  switch (quadrant & 3) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
}

}  // namespace octavo
