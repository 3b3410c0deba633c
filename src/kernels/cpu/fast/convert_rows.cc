#include "kernels/cpu/fast/convert_rows.h"

#include "base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fast/convert_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/fast/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {

template <class T>
void widen_typed(const void* src, float* dst, int64_t n) {
  const T* from = static_cast<const T*>(src);
  for_vectors(
      n, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { store(d, load(d, from + i), dst + i); });
}

template <class Format>
void widen_fp8(const void* src, float* dst, int64_t n) {
  const uint8_t* from = static_cast<const uint8_t*>(src);
  for_vectors(n, [&](auto d, int64_t i)
                     OCTAVO_INLINE_LAMBDA { store(d, load_fp8<Format>(d, from + i), dst + i); });
}

void widen_any(DType from, const void* src, float* dst, int64_t n) {
  switch (from) {
    case DType::f32:
      return widen_typed<float>(src, dst, n);
    case DType::bf16:
      return widen_typed<BFloat16>(src, dst, n);
    case DType::i8:
      return widen_typed<int8_t>(src, dst, n);
    case DType::e4m3:
      return widen_fp8<E4M3>(src, dst, n);
    case DType::e5m2:
      return widen_fp8<E5M2>(src, dst, n);
    default:
      OCTAVO_FAIL(internal, "no vector form widens {}", name(from));
  }
}

void narrow(const float* src, void* dst, int64_t n) {
  BFloat16* to = static_cast<BFloat16*>(dst);
  for_vectors(n,
              [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { store(d, load(d, src + i), to + i); });
}

void to_i32(const float* src, int32_t* dst, int64_t n, bool add) {
  for_vectors(n, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    const hn::Rebind<int32_t, decltype(d)> d32;
    auto v = hn::NearestInt(hn::LoadU(d, src + i));
    if (add) v = hn::Add(v, hn::LoadU(d32, dst + i));
    hn::StoreU(v, d32, dst + i);
  });
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

HWY_EXPORT(widen_any);
HWY_EXPORT(narrow);
HWY_EXPORT(to_i32);

bool widens_fast(DType from) {
  return from == DType::f32 || from == DType::bf16 || from == DType::i8 || from == DType::e4m3 ||
         from == DType::e5m2;
}

void widen(DType from, const void* src, float* dst, int64_t n) {
  HWY_DYNAMIC_DISPATCH(widen_any)(from, src, dst, n);
}

void narrow_to_bf16(const float* src, void* dst, int64_t n) {
  HWY_DYNAMIC_DISPATCH(narrow)(src, dst, n);
}

void f32_to_i32(const float* src, int32_t* dst, int64_t n, bool add) {
  HWY_DYNAMIC_DISPATCH(to_i32)(src, dst, n, add);
}

}  // namespace octavo::cpu
#endif
