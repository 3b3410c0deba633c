#include "kernels/cpu/fast/hadamard_rows.h"

#include <cmath>
#include <utility>

#include "kernels/cpu/fast/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fast/hadamard_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/fast/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {

// y[i] = x[2i] + x[2i+1], y[half + i] = x[2i] - x[2i+1]. The butterfly is over an index's lowest
// bit, which becomes the highest while the others move down: after as many stages as there are bits
// all are transformed and in place again, and no stage needs strides below a vector.
HWY_INLINE void stage(const float* x, float* y, int64_t half) {
  for_vectors(half, [=](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    hn::VFromD<decltype(d)> even, odd;
    hn::LoadInterleaved2(d, x + 2 * i, even, odd);
    hn::StoreU(hn::Add(even, odd), d, y + i);
    hn::StoreU(hn::Sub(even, odd), d, y + half + i);
  });
}

template <class T>
void hadamard_typed(const T* x, T* y, int64_t block, int64_t count) {
  float* from = scratch_of<float>(Scratch::tile, block);
  float* to = scratch_of<float>(Scratch::rows, block);
  const float norm = static_cast<float>(1 / std::sqrt(static_cast<double>(block)));
  for (int64_t k = 0; k < count; ++k, x += block, y += block) {
    for_vectors(block, [=](auto d, int64_t i)
                           OCTAVO_INLINE_LAMBDA { hn::StoreU(load(d, x + i), d, from + i); });
    for (int64_t bit = 1; bit < block; bit *= 2) {
      stage(from, to, block / 2);
      std::swap(from, to);
    }
    for_vectors(block, [=](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
      store(d, hn::Mul(hn::LoadU(d, from + i), hn::Set(d, norm)), y + i);
    });
  }
}

void hadamard(DType type, const void* x, void* y, int64_t block, int64_t count) {
  if (type == DType::f32) {
    return hadamard_typed(static_cast<const float*>(x), static_cast<float*>(y), block, count);
  }
  hadamard_typed(static_cast<const BFloat16*>(x), static_cast<BFloat16*>(y), block, count);
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

HWY_EXPORT(hadamard);

void hadamard_blocks(DType type, const void* x, void* y, int64_t block, int64_t count) {
  HWY_DYNAMIC_DISPATCH(hadamard)(type, x, y, block, count);
}

}  // namespace octavo::cpu
#endif
