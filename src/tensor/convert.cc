#include "tensor/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include "base/check.h"
#include "tensor/codec.h"

namespace octavo {
namespace {

constexpr int64_t kChunk =
    1024;  // elements; a multiple of 8, so that packed chunks are whole bytes

template <class F>
void visit_wide(DType dtype, F&& body) {
  if (dtype == DType::f64) return body(double{});
  if (dtype == DType::i64) return body(int64_t{});
  OCTAVO_ASSERT(dtype == DType::i32);
  body(int32_t{});
}

bool is_wide(DType d) { return d == DType::f64 || d == DType::i64 || d == DType::i32; }

template <class To, class From>
To saturate(From v) {
  if constexpr (std::is_floating_point_v<To>) {
    return static_cast<To>(v);
  } else if constexpr (std::is_floating_point_v<From>) {
    OCTAVO_CHECK_CODE(not_finite, v == v, "NaN among values to convert to integers");
    constexpr double kEnd = -static_cast<double>(std::numeric_limits<To>::min());
    const double whole = std::nearbyint(v);
    if (whole >= kEnd) return std::numeric_limits<To>::max();
    return whole < -kEnd ? std::numeric_limits<To>::min() : static_cast<To>(whole);
  } else {
    constexpr int64_t kLow = std::numeric_limits<To>::min(), kHigh = std::numeric_limits<To>::max();
    return static_cast<To>(std::clamp<int64_t>(v, kLow, kHigh));
  }
}

// f32 with a last bit that remembers whether anything was cut off: rounding that to a format of
// fewer bits gives what rounding the exact value would (Boldo, Melquiond: "round to odd").
template <class T>
float round_to_odd(T v) {
  const float near = static_cast<float>(v);
  const long double exact = v;
  if (exact == near || exact != exact || std::isinf(near)) return near;
  const float cut = std::fabs(exact) < std::fabs(near) ? std::nextafter(near, 0.0f) : near;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(cut) | 1u);
}

void wide_to_odd_floats(DType from, const void* src, float* dst, int64_t n) {
  visit_wide(from, [&](auto type) {
    const auto* in = static_cast<const decltype(type)*>(src);
    std::transform(in, in + n, dst, [](auto v) { return round_to_odd(v); });
  });
}

void convert_wide(DType from, const void* src, DType to, void* dst, int64_t n) {
  visit_wide(from, [&](auto from_type) {
    visit_wide(to, [&](auto to_type) {
      const auto* in = static_cast<const decltype(from_type)*>(src);
      auto* out = static_cast<decltype(to_type)*>(dst);
      for (int64_t i = 0; i < n; ++i) out[i] = saturate<decltype(to_type)>(in[i]);
    });
  });
}

}  // namespace

void convert_row(DType from, const void* src, DType to, void* dst, int64_t n) {
  if (is_wide(from) && is_wide(to)) return convert_wide(from, src, to, dst, n);
  if (from == DType::f32) return encode_row(to, static_cast<const float*>(src), dst, n);
  if (to == DType::f32) return decode_row(from, src, static_cast<float*>(dst), n);
  float values[kChunk];
  for (int64_t at = 0; at < n; at += kChunk) {
    const int64_t count = std::min(kChunk, n - at);
    const void* in = static_cast<const std::byte*>(src) + row_bytes(from, at);
    void* out = static_cast<std::byte*>(dst) + row_bytes(to, at);
    if (is_wide(from)) {
      wide_to_odd_floats(from, in, values, count);
    } else {
      decode_row(from, in, values, count);
    }
    encode_row(to, values, out, count);
  }
}

}  // namespace octavo
