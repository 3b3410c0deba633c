#include "kernels/cpu/fast/softmax.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fast/softmax.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>
#include <limits>

#include "kernels/cpu/fast/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {

// e^x for x <= 0; 0 where it would not be a normal number.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V exp_or_zero(D d, V x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3f)), exp_clamped(d, x));
}

template <class B>
float add_bias(float* scores, int64_t n, float scale, const B* bias, float start) {
  return max_of(n, start, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    const auto v = hn::MulAdd(hn::LoadU(d, scores + i), hn::Set(d, scale), load(d, bias + i));
    hn::StoreU(v, d, scores + i);
    return v;
  });
}

// The largest of the block's row; `scale` is what is left to be multiplied afterwards.
float largest_score(const SoftmaxBlock& b, float* scores, int64_t row, float& scale) {
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  if (!b.bias) {
    const float top =
        max_of(b.keys, -std::numeric_limits<float>::infinity(),
               [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { return hn::LoadU(d, scores + i); });
    return std::fmax(top * scale, kLowest);
  }
  const int64_t at = row * b.bias_stride;
  const float factor = scale;
  scale = 1;
  return b.bias_type == DType::f32
             ? add_bias(scores, b.keys, factor, static_cast<const float*>(b.bias) + at, kLowest)
             : add_bias(scores, b.keys, factor, static_cast<const BFloat16*>(b.bias) + at, kLowest);
}

void softmax_row(const SoftmaxBlock& b, int64_t row) {
  float* scores = b.scores + row * b.keys;
  float scale = b.scale;
  float top = largest_score(b, scores, row, scale);
  if (!b.first && b.largest[row] > top) top = b.largest[row];
  const float total = sum_of(b.keys, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    const auto x = hn::Sub(hn::Mul(hn::LoadU(d, scores + i), hn::Set(d, scale)), hn::Set(d, top));
    const auto weight = exp_or_zero(d, x);
    hn::StoreU(weight, d, scores + i);
    return weight;
  });
  if (b.first) {
    b.total[row] = total;
  } else {
    const float keep = std::exp(b.largest[row] - top);
    b.total[row] = b.total[row] * keep + total;
    float* sums = b.sums + row * b.depth;
    for_vectors(b.depth, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
      hn::StoreU(hn::Mul(hn::LoadU(d, sums + i), hn::Set(d, keep)), d, sums + i);
    });
  }
  b.largest[row] = top;
}

void softmax(const SoftmaxBlock& b) {
  for (int64_t row = 0; row < b.rows; ++row) softmax_row(b, row);
}

template <class T>
void divide_typed(const float* sums, const float* total, int64_t rows, int64_t depth, T* y,
                  int64_t ld) {
  for (int64_t row = 0; row < rows; ++row) {
    const float factor = 1.0f / total[row];
    for_vectors(depth, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
      store(d, hn::Mul(hn::LoadU(d, sums + row * depth + i), hn::Set(d, factor)), y + row * ld + i);
    });
  }
}

void divide(const float* sums, const float* total, int64_t rows, int64_t depth, DType type, void* y,
            int64_t ld) {
  if (type == DType::f32) {
    return divide_typed(sums, total, rows, depth, static_cast<float*>(y), ld);
  }
  divide_typed(sums, total, rows, depth, static_cast<BFloat16*>(y), ld);
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

HWY_EXPORT(softmax);
HWY_EXPORT(divide);

void softmax_block(const SoftmaxBlock& block) { HWY_DYNAMIC_DISPATCH(softmax)(block); }

void divide_rows(const float* sums, const float* total, int64_t rows, int64_t depth, DType type,
                 void* y, int64_t ld) {
  HWY_DYNAMIC_DISPATCH(divide)(sums, total, rows, depth, type, y, ld);
}

}  // namespace octavo::cpu
#endif
