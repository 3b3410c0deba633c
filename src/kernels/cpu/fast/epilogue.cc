#include "kernels/cpu/fast/epilogue.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fast/epilogue.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/fast/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {

template <class D>
HWY_INLINE hn::VFromD<D> activated(D d, hn::VFromD<D> y, Activation activation) {
  if (activation == Activation::gelu_tanh) return gelu_tanh(d, y);
  if (activation == Activation::silu) return silu(d, y);
  return y;
}

// False where y is NaN and its code cannot say so.
template <class D>
HWY_INLINE bool store_output(D d, hn::VFromD<D> y, const Epilogue& e, int64_t at, float scale) {
  if (e.out == DType::f32) {
    store(d, y, static_cast<float*>(e.output) + at);
  } else if (e.out == DType::bf16) {
    store(d, y, static_cast<BFloat16*>(e.output) + at);
  } else {
    return store_code(d, hn::Div(y, hn::Set(d, scale)), e.out, e.output, at);
  }
  return true;
}

template <class Acc, class T>
bool finish_row(const Epilogue& e, const Acc* acc, int64_t row, int64_t col, int64_t cols) {
  const T* gate = static_cast<const T*>(e.gate);
  if (gate) gate += row / e.rows_per_sample * e.n + col;
  const T* residual = static_cast<const T*>(e.residual);
  if (residual) residual += row * e.n + col;
  const float x_scale = e.x_scale ? e.x_scale[row * e.x_scale_stride] : 1.0f;
  const float out_scale = e.out_scale ? *e.out_scale : 1.0f;
  const int64_t to = (row - e.first_row) * e.n + col;
  bool valid = true;
  for_vectors(cols, [&](auto d, int64_t i) HWY_ATTR {
    auto y = load(d, acc + i);
    if (e.x_scale) {
      auto factor = hn::Set(d, x_scale);
      if (e.w_scale_stride) {
        factor = hn::Mul(factor, hn::LoadU(d, e.w_scale + col + i));
      } else if (e.w_scale) {
        factor = hn::Mul(factor, hn::Set(d, *e.w_scale));
      }
      y = hn::Mul(y, factor);
    }
    if (e.bias) y = hn::Add(y, hn::LoadU(d, e.bias + col + i));
    y = activated(d, y, e.activation);
    if (gate) y = hn::Mul(load(d, gate + i), y);
    if (residual) y = hn::Add(load(d, residual + i), y);
    valid &= store_output(d, y, e, to + i, out_scale);
  });
  return valid;
}

template <class Acc, class T>
bool finish_rows(const Epilogue& e, const void* acc, int64_t ld, const Tile& t) {
  bool valid = true;
  for (int64_t r = 0; r < t.rows; ++r) {
    valid &= finish_row<Acc, T>(e, static_cast<const Acc*>(acc) + r * ld, t.row + r, t.col, t.cols);
  }
  return valid;
}

bool finish(const Epilogue& e, const void* acc, int64_t ld, const Tile& tile) {
  const bool wide = e.type == DType::f32;
  if (e.acc == DType::i32) {
    return wide ? finish_rows<int32_t, float>(e, acc, ld, tile)
                : finish_rows<int32_t, BFloat16>(e, acc, ld, tile);
  }
  return wide ? finish_rows<float, float>(e, acc, ld, tile)
              : finish_rows<float, BFloat16>(e, acc, ld, tile);
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

HWY_EXPORT(finish);

bool finish_tile(const Epilogue& e, const void* acc, int64_t ld, const Tile& tile) {
  return HWY_DYNAMIC_DISPATCH(finish)(e, acc, ld, tile);
}

bool is_vector_activation(Activation activation) { return activation != Activation::gelu; }

bool is_vector_code(DType dtype) {
  return dtype == DType::i8 || dtype == DType::e4m3 || dtype == DType::e5m2;
}

}  // namespace octavo::cpu
#endif
