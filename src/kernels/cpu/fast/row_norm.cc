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
  return sum_of(n, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { return load(d, x + i); }) /
         static_cast<float>(n);
}

// Mean of (x - mean)^2.
template <class T>
float spread_of(const T* x, int64_t n, float mean) {
  const float squares = sum_of(n, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    const auto v = hn::Sub(load(d, x + i), hn::Set(d, mean));
    return hn::Mul(v, v);
  });
  return squares / static_cast<float>(n);
}

// One row and what its loop needs, in locals: stores through char pointers would reload `p`.
template <class T, class P>
struct Row {
  const T* x;
  const P *weight, *shift;
  float mean, factor, one;
};

template <class T, class P, class D>
HWY_INLINE hn::VFromD<D> normalized(D d, const Row<T, P>& r, int64_t i) {
  auto y = hn::Mul(hn::Sub(load(d, r.x + i), hn::Set(d, r.mean)), hn::Set(d, r.factor));
  if (r.weight) y = hn::Mul(y, hn::Add(hn::Set(d, r.one), load(d, r.weight + i)));
  if (r.shift) y = hn::Add(y, load(d, r.shift + i));
  return y;
}

template <class T, class P>
bool normalize_row(const RowNorm& p, int64_t row) {
  Row<T, P> r{};
  r.x = static_cast<const T*>(p.x) + row * p.d;
  if (p.weight) r.weight = static_cast<const P*>(p.weight) + row / p.rows_per_weight * p.d;
  if (p.shift) r.shift = static_cast<const P*>(p.shift) + row / p.rows_per_shift * p.d;
  r.mean = p.center ? mean_of(r.x, p.d) : 0.0f;
  r.factor = 1.0f / std::sqrt(spread_of(r.x, p.d, r.mean) + p.eps);
  r.one = p.one_plus ? 1.0f : 0.0f;
  const int64_t to = (row - p.first_row) * p.d;
  if (p.out == DType::f32) {
    float* y = static_cast<float*>(p.output) + to;
    for_vectors(
        p.d, [=](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { store(d, normalized(d, r, i), y + i); });
    return true;
  }
  if (p.out == DType::bf16) {
    BFloat16* y = static_cast<BFloat16*>(p.output) + to;
    for_vectors(
        p.d, [=](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { store(d, normalized(d, r, i), y + i); });
    return true;
  }
  const float scale = *p.out_scale;
  return store_codes(p.d, p.out, static_cast<std::byte*>(p.output) + to,
                     [=](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
                       return hn::Div(normalized(d, r, i), hn::Set(d, scale));
                     });
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
