#include "kernels/cpu/fast/row_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fast/row_norm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "kernels/cpu/fast/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {

template <class T>
float mean_of(const T* x, int64_t n) {
  return sum_of(n, [&](auto d, int64_t i) HWY_ATTR { return load(d, x + i); }) /
         static_cast<float>(n);
}

// Mean of (x - mean)^2.
template <class T>
float spread_of(const T* x, int64_t n, float mean) {
  const float squares = sum_of(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto v = hn::Sub(load(d, x + i), hn::Set(d, mean));
    return hn::Mul(v, v);
  });
  return squares / static_cast<float>(n);
}

template <class T, class P>
bool normalize_row(const RowNorm& p, int64_t row) {
  const T* x = static_cast<const T*>(p.x) + row * p.d;
  const P* weight = static_cast<const P*>(p.weight);
  const P* shift = static_cast<const P*>(p.shift);
  if (weight) weight += row / p.rows_per_weight * p.d;
  if (shift) shift += row / p.rows_per_shift * p.d;
  const float mean = p.center ? mean_of(x, p.d) : 0.0f;
  const float factor = 1.0f / std::sqrt(spread_of(x, p.d, mean) + p.eps);
  const float out_scale = p.out_scale ? *p.out_scale : 1.0f;
  const int64_t to = (row - p.first_row) * p.d;
  bool valid = true;
  for_vectors(p.d, [&](auto d, int64_t i) HWY_ATTR {
    auto y = hn::Mul(hn::Sub(load(d, x + i), hn::Set(d, mean)), hn::Set(d, factor));
    if (weight) {
      const auto w = load(d, weight + i);
      y = p.one_plus ? hn::Mul(y, hn::Add(hn::Set(d, 1.0f), w)) : hn::Mul(y, w);
    }
    if (shift) y = hn::Add(y, load(d, shift + i));
    if (p.out == DType::f32) {
      store(d, y, static_cast<float*>(p.output) + to + i);
    } else if (p.out == DType::bf16) {
      store(d, y, static_cast<BFloat16*>(p.output) + to + i);
    } else {
      valid &= store_code(d, hn::Div(y, hn::Set(d, out_scale)), p.out, p.output, to + i);
    }
  });
  return valid;
}

template <class T, class P>
bool normalize_typed(const RowNorm& p, int64_t begin, int64_t end) {
  bool valid = true;
  for (int64_t row = begin; row < end; ++row) valid &= normalize_row<T, P>(p, row);
  return valid;
}

bool normalize(const RowNorm& p, int64_t begin, int64_t end) {
  if (p.type == DType::f32) return normalize_typed<float, float>(p, begin, end);
  return p.param_type == DType::f32 ? normalize_typed<BFloat16, float>(p, begin, end)
                                    : normalize_typed<BFloat16, BFloat16>(p, begin, end);
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

HWY_EXPORT(normalize);

bool normalize_rows(const RowNorm& norm, int64_t begin, int64_t end) {
  return HWY_DYNAMIC_DISPATCH(normalize)(norm, begin, end);
}

}  // namespace octavo::cpu
#endif
