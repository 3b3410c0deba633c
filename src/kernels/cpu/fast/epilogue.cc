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

// What a row's loop needs, in locals: stores through char pointers would make it reload `e`.
template <class Acc, class T>
struct Row {
  const Acc* acc;
  const float *w_scale, *bias;  // w_scale: one a column, or absent
  const T *gate, *residual;
  Activation activation;
  DType out;
  float scale, out_scale;
  bool scaled;
};

template <class Acc, class T>
Row<Acc, T> make_row(const Epilogue& e, const Acc* acc, int64_t row, int64_t col) {
  Row<Acc, T> r{};
  r.acc = acc;
  r.scaled = e.x_scale != nullptr;
  r.scale = r.scaled ? e.x_scale[row * e.x_scale_stride] : 1.0f;
  if (e.w_scale && e.w_scale_stride) r.w_scale = e.w_scale + col;
  if (e.w_scale && !e.w_scale_stride) r.scale *= *e.w_scale;
  if (e.bias) r.bias = e.bias + col;
  if (e.gate) r.gate = static_cast<const T*>(e.gate) + row / e.rows_per_sample * e.n + col;
  if (e.residual) r.residual = static_cast<const T*>(e.residual) + row * e.n + col;
  r.activation = e.activation;
  r.out = e.out;
  r.out_scale = e.out_scale ? *e.out_scale : 1.0f;
  return r;
}

// y of the columns from i.
template <class Acc, class T, class D>
HWY_INLINE hn::VFromD<D> finished(D d, const Row<Acc, T>& r, int64_t i) {
  auto y = load(d, r.acc + i);
  if (r.w_scale) {
    y = hn::Mul(y, hn::Mul(hn::Set(d, r.scale), hn::LoadU(d, r.w_scale + i)));
  } else if (r.scaled) {
    y = hn::Mul(y, hn::Set(d, r.scale));
  }
  if (r.bias) y = hn::Add(y, hn::LoadU(d, r.bias + i));
  y = activated(d, y, r.activation);
  if (r.gate) y = hn::Mul(load(d, r.gate + i), y);
  if (r.residual) y = hn::Add(load(d, r.residual + i), y);
  return y;
}

// False where y is NaN and its code cannot say so.
template <class Acc, class T>
bool finish_row(const Epilogue& e, const Acc* acc, int64_t row, int64_t col, int64_t cols) {
  const Row<Acc, T> r = make_row<Acc, T>(e, acc, row, col);
  const int64_t to = (row - e.first_row) * e.n + col;
  if (r.out == DType::f32) {
    float* y = static_cast<float*>(e.output) + to;
    for_vectors(
        cols, [=](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { store(d, finished(d, r, i), y + i); });
    return true;
  }
  if (r.out == DType::bf16) {
    BFloat16* y = static_cast<BFloat16*>(e.output) + to;
    for_vectors(
        cols, [=](auto d, int64_t i) OCTAVO_INLINE_LAMBDA { store(d, finished(d, r, i), y + i); });
    return true;
  }
  return store_codes(cols, r.out, static_cast<std::byte*>(e.output) + to,
                     [=](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
                       return hn::Div(finished(d, r, i), hn::Set(d, r.out_scale));
                     });
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
