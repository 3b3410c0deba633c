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

// e^x to 1 ulp for x in [-87.3, 88.3], clamped there; NaN stays NaN. Polynomial: Cephes expf.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V exp_clamped(D d, V x) {
  const hn::Rebind<int32_t, D> di;
  // The constant first: x86's min and max give the second operand when either is NaN.
  x = hn::Min(hn::Set(d, 88.3f), hn::Max(hn::Set(d, -87.3f), x));
  const V n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504088896341f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  V p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  const V e = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  const auto exponent = hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127));
  return hn::Mul(e, hn::BitCast(d, hn::ShiftLeft<23>(exponent)));
}

template <class D, class V = hn::VFromD<D>>
HWY_INLINE V silu(D d, V x) {
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp_clamped(d, hn::Neg(x))));
}

// 0.5 x (1 + tanh(u)) = x / (1 + e^(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3).
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V gelu_tanh(D d, V x) {
  const V kMinus2Sqrt2OverPi = hn::Set(d, -1.5957691216057308f);
  const V cubic = hn::MulAdd(hn::Mul(hn::Mul(x, x), x), hn::Set(d, 0.044715f), x);
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp_clamped(d, hn::Mul(kMinus2Sqrt2OverPi, cubic))));
}

// v rounded to integers in [-128, 127]; a NaN becomes 0 and the result false.
template <class D>
HWY_INLINE bool store_i8(D d, hn::VFromD<D> v, int8_t* p) {
  const hn::Rebind<int8_t, D> d8;
  const auto nan = hn::IsNaN(v);
  const auto inside = hn::Min(hn::Set(d, 127.0f), hn::Max(hn::Set(d, -128.0f), v));
  const auto code = hn::NearestInt(hn::IfThenZeroElse(nan, inside));
  hn::StoreU(hn::DemoteTo(d8, code), d8, p);
  return hn::AllFalse(d, nan);
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
  const hn::Rebind<uint8_t, D> d8;
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
  hn::StoreU(hn::DemoteTo(d8, hn::Or(code, sign)), d8, p);
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

// v as a code of i8, e4m3 or e5m2 at element `at`; false where v is NaN and the format has none.
template <class D>
HWY_INLINE bool store_code(D d, hn::VFromD<D> v, DType format, void* codes, int64_t at) {
  if (format == DType::i8) return store_i8(d, v, static_cast<int8_t*>(codes) + at);
  uint8_t* p = static_cast<uint8_t*>(codes) + at;
  if (format == DType::e4m3) {
    store_fp8<E4M3>(d, v, p);
  } else {
    store_fp8<E5M2>(d, v, p);
  }
  return true;
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
