#include "kernels/cpu/fast/pointwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fast/pointwise.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/fast/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {

template <class T>
void unary_typed(Unary function, const T* x, T* y, int64_t n, float a, float b) {
  for_vectors(n, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    auto v = load(d, x + i);
    if (function == Unary::silu) {
      v = silu(d, v);
    } else if (function == Unary::gelu_tanh) {
      v = gelu_tanh(d, v);
    } else {
      v = hn::MulAdd(v, hn::Set(d, a), hn::Set(d, b));
    }
    store(d, v, y + i);
  });
}

void unary(Unary function, DType type, const void* x, void* y, int64_t n, float a, float b) {
  if (type == DType::f32) {
    return unary_typed(function, static_cast<const float*>(x), static_cast<float*>(y), n, a, b);
  }
  unary_typed(function, static_cast<const BFloat16*>(x), static_cast<BFloat16*>(y), n, a, b);
}

template <class T, class D>
HWY_INLINE hn::VFromD<D> load_step(D d, const T* p, int64_t step, int64_t i, float one) {
  return step == 0 ? hn::Set(d, one) : load(d, p + i);
}

template <class T>
void binary_typed(Binary function, const T* a, int64_t a_step, const T* b, int64_t b_step, T* y,
                  int64_t n) {
  if (n == 0) return;
  const hn::CappedTag<float, 1> d1;
  const float a0 = hn::GetLane(load(d1, a)), b0 = hn::GetLane(load(d1, b));
  for_vectors(n, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    const auto u = load_step(d, a, a_step, i, a0), v = load_step(d, b, b_step, i, b0);
    switch (function) {
      case Binary::add:
        return store(d, hn::Add(u, v), y + i);
      case Binary::sub:
        return store(d, hn::Sub(u, v), y + i);
      case Binary::mul:
        return store(d, hn::Mul(u, v), y + i);
      case Binary::div:
        return store(d, hn::Div(u, v), y + i);
    }
  });
}

void binary(Binary function, DType type, const void* a, int64_t a_step, const void* b,
            int64_t b_step, void* y, int64_t n) {
  if (type == DType::f32) {
    return binary_typed(function, static_cast<const float*>(a), a_step,
                        static_cast<const float*>(b), b_step, static_cast<float*>(y), n);
  }
  binary_typed(function, static_cast<const BFloat16*>(a), a_step, static_cast<const BFloat16*>(b),
               b_step, static_cast<BFloat16*>(y), n);
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

HWY_EXPORT(unary);
HWY_EXPORT(binary);

void unary_span(Unary function, DType type, const void* x, void* y, int64_t n, float a, float b) {
  HWY_DYNAMIC_DISPATCH(unary)(function, type, x, y, n, a, b);
}

void binary_span(Binary function, DType type, const void* a, int64_t a_step, const void* b,
                 int64_t b_step, void* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(binary)(function, type, a, a_step, b, b_step, y, n);
}

}  // namespace octavo::cpu
#endif
