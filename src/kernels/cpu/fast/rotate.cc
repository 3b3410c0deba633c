#include "kernels/cpu/fast/rotate.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fast/rotate.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "kernels/cpu/fast/scratch.h"
#include "kernels/cpu/fast/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {

// Factors of one position, laid out like x: y[i] = x[i] * own[i] + x[i ^ 1] * other[i], the weight
// of the norm included.
void make_factors(const Rotation& r, int64_t position, float* own, float* other) {
  const int64_t row = position % r.table_rows * (r.d / 2);
  for (int64_t i = 0; i < r.d / 2; ++i) {
    const float c = r.cos[row + i], s = r.sin[row + i];
    const float even = r.norm ? r.weight[2 * i] : 1.0f, odd = r.norm ? r.weight[2 * i + 1] : 1.0f;
    own[2 * i] = c * even;
    own[2 * i + 1] = c * odd;
    other[2 * i] = -s * odd;
    other[2 * i + 1] = s * even;
  }
}

template <class T>
float load_one(const T* p) {
  const hn::CappedTag<float, 1> d1;
  return hn::GetLane(load(d1, p));
}
template <class T>
void store_one(float v, T* p) {
  const hn::CappedTag<float, 1> d1;
  store(d1, hn::Set(d1, v), p);
}

template <class T>
void rotate_row(const Rotation& r, const T* x, T* y, const float* own, const float* other) {
  float factor = 1;
  if (r.norm) {
    const float squares = sum_of(r.d, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
      const auto v = load(d, x + i);
      return hn::Mul(v, v);
    });
    factor = 1.0f / std::sqrt(squares / static_cast<float>(r.d) + r.eps);
  }
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto scale = hn::Set(d, factor);
  for (; i + lanes <= r.d; i += lanes) {
    const auto v = hn::Mul(load(d, x + i), scale);
    const auto turned = hn::Mul(hn::Shuffle2301(v), hn::LoadU(d, other + i));
    store(d, hn::MulAdd(v, hn::LoadU(d, own + i), turned), y + i);
  }
#endif
  for (; i < r.d; i += 2) {
    const float even = load_one(x + i) * factor, odd = load_one(x + i + 1) * factor;
    store_one(even * own[i] + odd * other[i], y + i);
    store_one(odd * own[i + 1] + even * other[i + 1], y + i + 1);
  }
}

template <class T>
void rotate_typed(const Rotation& r, int64_t begin, int64_t end) {
  float* own = scratch_of<float>(Scratch::extra, 2 * r.d);
  for (int64_t position = begin; position < end; ++position) {
    make_factors(r, position, own, own + r.d);
    for (int64_t head = 0; head < r.heads; ++head) {
      const int64_t at = (position * r.heads + head) * r.d;
      rotate_row(r, static_cast<const T*>(r.x) + at, static_cast<T*>(r.y) + at, own, own + r.d);
    }
  }
}

void rotate(const Rotation& r, int64_t begin, int64_t end) {
  if (r.type == DType::f32) return rotate_typed<float>(r, begin, end);
  return rotate_typed<BFloat16>(r, begin, end);
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

HWY_EXPORT(rotate);

void rotate_positions(const Rotation& rotation, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(rotate)(rotation, begin, end);
}

}  // namespace octavo::cpu
#endif
