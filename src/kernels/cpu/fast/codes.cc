#include "kernels/cpu/fast/codes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fast/codes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/fast/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {

template <class T>
uint32_t absmax_typed(const T* src, int64_t n) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto magnitude = hn::Set(di, 0x7fffffff);
  auto top = hn::Zero(di);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    top = hn::Max(top, hn::And(hn::BitCast(di, load(d, src + i)), magnitude));
  }
  int32_t result = hn::GetLane(hn::MaxOfLanes(di, top));
  const hn::CappedTag<float, 1> d1;
  const hn::RebindToSigned<decltype(d1)> di1;
  for (; i < n; ++i) {
    const int32_t bits = hn::GetLane(hn::BitCast(di1, load(d1, src + i)));
    result = std::max(result, bits & 0x7fffffff);
  }
  return static_cast<uint32_t>(result);
}

uint32_t absmax(DType type, const void* src, int64_t n) {
  return type == DType::f32 ? absmax_typed(static_cast<const float*>(src), n)
                            : absmax_typed(static_cast<const BFloat16*>(src), n);
}

template <class T>
bool encode_typed(const T* src, float scale, DType format, void* codes, int64_t n) {
  return store_codes(n, format, codes, [=](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    return hn::Div(load(d, src + i), hn::Set(d, scale));
  });
}

bool encode(DType type, const void* src, float scale, DType format, void* codes, int64_t n) {
  return type == DType::f32
             ? encode_typed(static_cast<const float*>(src), scale, format, codes, n)
             : encode_typed(static_cast<const BFloat16*>(src), scale, format, codes, n);
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

HWY_EXPORT(absmax);
HWY_EXPORT(encode);

uint32_t absmax_bits(DType type, const void* src, int64_t n) {
  return HWY_DYNAMIC_DISPATCH(absmax)(type, src, n);
}

bool encode_scaled(DType type, const void* src, float scale, DType format, void* codes, int64_t n) {
  return HWY_DYNAMIC_DISPATCH(encode)(type, src, scale, format, codes, n);
}

}  // namespace octavo::cpu
#endif
