#include "kernels/cpu/fast/group_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fast/group_norm_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/fast/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {

// Sum over [0, n) of f(d, i), in double over pieces that f32 adds well.
template <class F>
double long_sum(int64_t n, const F& f) {
  constexpr int64_t kPiece = 8192;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    total += sum_of(std::min(kPiece, n - begin),
                    [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { return f(d, begin + i); });
  }
  return total;
}

template <class T>
void group_typed(const GroupNorm& p, int64_t index) {
  const int64_t n = p.channels * p.positions;
  const T* x = static_cast<const T*>(p.x) + index * n;
  T* y = static_cast<T*>(p.y) + index * n;
  const double count = static_cast<double>(n);
  const float mean = static_cast<float>(
      long_sum(n, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { return load(d, x + i); }) / count);
  const double squares = long_sum(n, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    const auto v = hn::Sub(load(d, x + i), hn::Set(d, mean));
    return hn::Mul(v, v);
  });
  const float inverse = static_cast<float>(1.0 / std::sqrt(squares / count + p.eps));
  for (int64_t c = 0; c < p.channels; ++c) {
    const int64_t channel = index % p.groups * p.channels + c;
    const float factor = inverse * (p.weight ? p.weight[channel] : 1.0f);
    const float shift = p.shift ? p.shift[channel] : 0.0f;
    const int64_t at = c * p.positions;
    for_vectors(p.positions, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
      const auto centred = hn::Sub(load(d, x + at + i), hn::Set(d, mean));
      auto v = hn::MulAdd(centred, hn::Set(d, factor), hn::Set(d, shift));
      if (p.silu) v = silu(d, v);
      store(d, v, y + at + i);
    });
  }
}

void group(const GroupNorm& p, int64_t index) {
  if (p.type == DType::f32) return group_typed<float>(p, index);
  group_typed<BFloat16>(p, index);
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

HWY_EXPORT(group);

void normalize_group(const GroupNorm& norm, int64_t index) {
  HWY_DYNAMIC_DISPATCH(group)(norm, index);
}

}  // namespace octavo::cpu
#endif
