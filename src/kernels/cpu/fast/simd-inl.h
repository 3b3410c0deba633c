// Vector helpers of the fast kernels, compiled once a Highway target: include after
// hwy/foreach_target.h. Loads widen to f32, stores round once to nearest, ties to even.
#if defined(OCTAVO_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCTAVO_KERNELS_SIMD_INL_H_
#undef OCTAVO_KERNELS_SIMD_INL_H_
#else
#define OCTAVO_KERNELS_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "tensor/dtype.h"

// Between the parameters and the body of a lambda over vectors: as a call it would spill them all.
#ifndef OCTAVO_INLINE_LAMBDA
#define OCTAVO_INLINE_LAMBDA HWY_ATTR __attribute__((always_inline))
#endif

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// f(d, i) for i of [0, n): whole vectors, then one element at a time. `f` is generic in d.
template <class F>
HWY_INLINE void for_vectors(int64_t n, const F& f) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(d, i);
  const hn::CappedTag<float, 1> d1;
  for (; i < n; ++i) f(d1, i);
}

template <class D>
HWY_INLINE hn::VFromD<D> load(D d, const float* p) {
  return hn::LoadU(d, p);
}
template <class D>
HWY_INLINE hn::VFromD<D> load(D d, const BFloat16* p) {
  const hn::Rebind<uint16_t, D> d16;
  const hn::Rebind<uint32_t, D> d32;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}
template <class D>
HWY_INLINE hn::VFromD<D> load(D d, const int8_t* p) {
  const hn::Rebind<int8_t, D> d8;
  const hn::Rebind<int32_t, D> d32;
  return hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d8, p)));
}
template <class D>
HWY_INLINE hn::VFromD<D> load(D d, const int32_t* p) {
  const hn::Rebind<int32_t, D> d32;
  return hn::ConvertTo(d, hn::LoadU(d32, p));
}

template <class D>
HWY_INLINE void store(D d, hn::VFromD<D> v, float* p) {
  hn::StoreU(v, d, p);
}
template <class D>
HWY_INLINE void store([[maybe_unused]] D d, hn::VFromD<D> v, BFloat16* p) {
  const hn::Rebind<uint32_t, D> d32;
  const hn::Rebind<int32_t, D> di32;
  const hn::Rebind<uint16_t, D> d16;
  const auto bits = hn::BitCast(d32, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7fffu))));
  // NaN keeps its sign and becomes the one quiet NaN of the codec.
  const auto nan =
      hn::Or(hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 0x8000u)), hn::Set(d32, 0x7fc0u));
  const auto is_nan = hn::RebindMask(d32, hn::IsNaN(v));
  const auto code = hn::BitCast(di32, hn::IfThenElse(is_nan, nan, rounded));
  hn::StoreU(hn::DemoteTo(d16, code), d16, reinterpret_cast<uint16_t*>(p));
}

// v within [low, high]; NaN stays NaN: x86's min and max give their second operand when either is.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V clamp(D d, V v, float low, float high) {
  const V inside = hn::Min(hn::Set(d, high), hn::Max(hn::Set(d, low), v));
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  return inside;
#else
  return hn::IfThenElse(hn::IsNaN(v), v, inside);
#endif
}

// e^x for x in [-87.3, 88.3], clamped there; relative error below 2e-7. NaN stays NaN.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V exp_clamped(D d, V x) {
  const hn::Rebind<int32_t, D> di;
  x = clamp(d, x, -87.3f, 88.3f);
  // Adding 1.5 * 2^23 rounds to an integer n, which then fills the low bits; 127 is the exponent's
  // bias, so that shifting these bits into place gives 2^n.
  const V magic = hn::Set(d, 12582912.0f + 127.0f);
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504088896341f), magic);
  const V n = hn::Sub(shifted, magic);
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  // 1 + r + r^2 (...): minimax of the relative error (1.05e-7) on [-ln 2 / 2, ln 2 / 2].
  V p = hn::MulAdd(hn::Set(d, 0.00831252495771f), r, hn::Set(d, 0.0418901131759f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.166671144643f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.499992317914f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  return hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}

// 1 / v for v in [1, 2^128): an approximation of 12 bits or more, refined to f32 where it has 14.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V reciprocal(D d, V v) {
#if HWY_TARGET == HWY_AVX3
  const V r = hn::ApproximateReciprocal(v);
  return hn::MulAdd(hn::NegMulAdd(v, r, hn::Set(d, 1.0f)), r, r);
#else
  return hn::Div(hn::Set(d, 1.0f), v);
#endif
}

template <class D, class V = hn::VFromD<D>>
HWY_INLINE V silu(D d, V x) {
  return hn::Mul(x, reciprocal(d, hn::Add(hn::Set(d, 1.0f), exp_clamped(d, hn::Neg(x)))));
}

// 0.5 x (1 + tanh(u)) = x / (1 + e^(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3).
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V gelu_tanh(D d, V x) {
  // -2 sqrt(2/pi), and that times 0.044715.
  const V linear = hn::Set(d, -1.5957691216057308f), cubic = hn::Set(d, -0.0713548162726f);
  const V exponent = hn::Mul(x, hn::MulAdd(hn::Mul(x, x), cubic, linear));
  return hn::Mul(x, reciprocal(d, hn::Add(hn::Set(d, 1.0f), exp_clamped(d, exponent))));
}

// 8-bit floats; kTop is the code of the largest finite value, to which everything above saturates.
struct E4M3 {
  static constexpr int kMantissa = 3, kBias = 7;
  static constexpr uint32_t kTop = 0x7e, kNaN = 0x7f, kFirstSpecial = 0x7f;
};
struct E5M2 {
  static constexpr int kMantissa = 2, kBias = 15;
  static constexpr uint32_t kTop = 0x7b, kNaN = 0x7e, kFirstSpecial = 0x7c;
};

// Integers of [-128, 255] to their low bytes.
template <class D, class V>
HWY_INLINE void store_bytes([[maybe_unused]] D d, V v, uint8_t* p) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (hn::MaxLanes(d) == 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v.raw));
    return;
  }
#endif
  const hn::Rebind<uint8_t, D> d8;
  const hn::Rebind<uint32_t, D> d32;
  hn::StoreU(hn::TruncateTo(d8, hn::BitCast(d32, v)), d8, p);
}

// To the nearest integer, where int32 holds it.
template <class D>
HWY_INLINE auto nearest([[maybe_unused]] D d, hn::VFromD<D> v) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (hn::MaxLanes(d) == 16) {
    return hn::VFromD<hn::Rebind<int32_t, D>>{_mm512_cvtps_epi32(v.raw)};
  } else
#endif
    return hn::NearestInt(v);
}

template <class Format>
struct Fp8 {
  static constexpr int kShift = 23 - Format::kMantissa;
  static constexpr uint32_t kRebias = 127 - Format::kBias;
  static constexpr uint32_t kMinNormal = (kRebias + 1) << 23;       // f32 bits
  static constexpr uint32_t kAlign = (kRebias + 1 + kShift) << 23;  // f32 bits
};

// Rounding as in the tensor floor's codec: adding half a step carries where RNE rounds up; below
// the smallest normal the f32 adder rounds to the format's fixed step.
template <class Format, class D>
HWY_INLINE void store_fp8(D d, hn::VFromD<D> v, uint8_t* p) {
  using F = Fp8<Format>;
  const hn::Rebind<uint32_t, D> d32;
  const hn::Rebind<int32_t, D> di32;
  const auto bits = hn::BitCast(d32, v);
  const auto m = hn::And(bits, hn::Set(d32, 0x7fffffffu));
  const auto odd = hn::And(hn::ShiftRight<F::kShift>(m), hn::Set(d32, 1u));
  const auto rounded = hn::Add(m, hn::Add(odd, hn::Set(d32, (1u << (F::kShift - 1)) - 1)));
  const auto normal =
      hn::Sub(hn::ShiftRight<F::kShift>(rounded), hn::Set(d32, F::kRebias << Format::kMantissa));
  const auto align = hn::Set(d32, F::kAlign);
  const auto subnormal =
      hn::Sub(hn::BitCast(d32, hn::Add(hn::BitCast(d, m), hn::BitCast(d, align))), align);
  const auto small = hn::RebindMask(
      di32, hn::Lt(hn::BitCast(di32, m), hn::Set(di32, static_cast<int32_t>(F::kMinNormal))));
  auto code = hn::IfThenElse(small, hn::BitCast(di32, subnormal), hn::BitCast(di32, normal));
  code = hn::Min(code, hn::Set(di32, static_cast<int32_t>(Format::kTop)));
  code = hn::IfThenElse(hn::RebindMask(di32, hn::IsNaN(v)),
                        hn::Set(di32, static_cast<int32_t>(Format::kNaN)), code);
  const auto sign = hn::And(hn::BitCast(di32, hn::ShiftRight<24>(bits)), hn::Set(di32, 0x80));
  store_bytes(d, hn::Or(code, sign), p);
}

template <class Format, class D>
HWY_INLINE hn::VFromD<D> load_fp8(D d, const uint8_t* p) {
  using F = Fp8<Format>;
  const hn::Rebind<uint32_t, D> d32;
  const hn::Rebind<int32_t, D> di32;
  const hn::Rebind<uint8_t, D> d8;
  const auto code = hn::PromoteTo(di32, hn::LoadU(d8, p));
  const auto m = hn::And(code, hn::Set(di32, 0x7f));
  const auto shifted = hn::ShiftLeft<F::kShift>(m);
  const auto normal = hn::Add(shifted, hn::Set(di32, static_cast<int32_t>(F::kRebias << 23)));
  const auto above = hn::Add(shifted, hn::Set(di32, static_cast<int32_t>(F::kMinNormal)));
  const auto min_normal = hn::BitCast(d, hn::Set(d32, F::kMinNormal));
  const auto subnormal = hn::Sub(hn::BitCast(d, above), min_normal);
  const auto small = hn::Lt(m, hn::Set(di32, 1 << Format::kMantissa));
  auto bits = hn::IfThenElse(small, hn::BitCast(di32, subnormal), normal);
  // Infinity and NaN: f32's own, with the code's mantissa.
  const auto special = hn::Gt(m, hn::Set(di32, static_cast<int32_t>(Format::kFirstSpecial) - 1));
  const auto keep = hn::Set(di32, (1 << Format::kMantissa) - 1);
  const auto beyond = hn::Or(hn::Set(di32, 0x7f800000), hn::ShiftLeft<F::kShift>(hn::And(m, keep)));
  bits = hn::IfThenElse(special, beyond, bits);
  const auto sign = hn::ShiftLeft<24>(hn::And(code, hn::Set(di32, 0x80)));
  return hn::BitCast(d, hn::Or(bits, sign));
}

// Remembers whether any of the finite or NaN values seen was NaN: what times 0 is not 0.
class NanWatch {
 public:
  HWY_INLINE NanWatch() : many_(hn::Zero(hn::ScalableTag<float>())) {}
  template <class D>
  HWY_INLINE void see(D d, hn::VFromD<D> v) {
    const hn::ScalableTag<float> full;
    if constexpr (hn::MaxLanes(d) == hn::MaxLanes(full)) {
      many_ = hn::MulAdd(v, hn::Zero(d), many_);
    } else {
      one_ += 0.0f * hn::GetLane(v);
    }
  }
  HWY_INLINE bool none() const {
    const hn::ScalableTag<float> full;
    return one_ == 0.0f && hn::AllTrue(full, hn::Eq(many_, hn::Zero(full)));
  }

 private:
  hn::VFromD<hn::ScalableTag<float>> many_;
  float one_ = 0;
};

// f(d, i) for i of [0, n) as codes of a format. False if a NaN met a format that has none.
template <class F>
HWY_INLINE bool store_codes(int64_t n, DType format, void* codes, const F& f) {
  if (format == DType::e4m3) {
    uint8_t* p = static_cast<uint8_t*>(codes);
    for_vectors(
        n, [=, &f](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { store_fp8<E4M3>(d, f(d, i), p + i); });
    return true;
  }
  if (format == DType::e5m2) {
    uint8_t* p = static_cast<uint8_t*>(codes);
    for_vectors(
        n, [=, &f](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { store_fp8<E5M2>(d, f(d, i), p + i); });
    return true;
  }
  uint8_t* p = static_cast<uint8_t*>(codes);
  NanWatch watch;
  for_vectors(n, [=, &f, &watch](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    const auto v = clamp(d, f(d, i), -128.0f, 127.0f);
    watch.see(d, v);
    store_bytes(d, nearest(d, v), p + i);
  });
  return watch.none();
}

// Sum of f(d, i) over [0, n) in one fixed order: four interleaved sums of vectors, then the rest.
template <class F>
HWY_INLINE float sum_of(int64_t n, const F& f) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = hn::Add(s0, f(d, i));
    s1 = hn::Add(s1, f(d, i + lanes));
    s2 = hn::Add(s2, f(d, i + 2 * lanes));
    s3 = hn::Add(s3, f(d, i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) s0 = hn::Add(s0, f(d, i));
  const auto sum = hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
  float total = hn::GetLane(hn::SumOfLanes(d, sum));
  const hn::CappedTag<float, 1> d1;
  for (; i < n; ++i) total += hn::GetLane(f(d1, i));
  return total;
}

// Largest of f(d, i), at least `start`; NaNs are ignored.
template <class F>
HWY_INLINE float max_of(int64_t n, float start, const F& f) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto top = hn::Set(d, start);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) top = hn::Max(f(d, i), top);
  float result = hn::GetLane(hn::MaxOfLanes(d, top));
  const hn::CappedTag<float, 1> d1;
  for (; i < n; ++i) {
    const float v = hn::GetLane(f(d1, i));
    result = v > result ? v : result;
  }
  return result;
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
