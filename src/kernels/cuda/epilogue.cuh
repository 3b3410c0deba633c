#pragma once
// One element behind its sum; product.h has the struct and the order of the steps.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/codec.cuh"
#include "kernels/cuda/product.h"

namespace octavo::cuda {

__device__ inline float activated(Activation activation, float x) {
  switch (activation) {
    case Activation::silu:
      return silu(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::gelu_tanh:
      return gelu_tanh(x);
    case Activation::none:
      break;
  }
  return x;
}

__device__ inline float scale_of(const Epilogue& e, int64_t row, int64_t col) {
  const float r = e.row_scale ? e.row_scale[row * e.row_scale_stride] : 1.0f;
  const float c = e.col_scale ? e.col_scale[col * e.col_scale_stride] : 1.0f;
  return r * c;
}
__device__ inline float bias_of(const Epilogue& e, int64_t row, int64_t col) {
  return AnyFloat{e.bias, e.bias_type}[e.bias_by_row ? row : col];
}

__device__ inline float finished(const Epilogue& e, float acc, int64_t row, int64_t col) {
  float v = acc;
  if (e.row_scale || e.col_scale) v = v * scale_of(e, row, col);
  if (e.bias) v = v + bias_of(e, row, col);
  v = activated(e.activation, v);
  if (e.gate) v = AnyFloat{e.gate, e.side}[row / e.rows_per_sample * e.ld + col] * v;
  if (e.residual) v = AnyFloat{e.residual, e.side}[row * e.ld + col] + v;
  return v;
}

// One element of any output type. False where v is NaN and its code cannot say so.
__device__ inline bool store(const Epilogue& e, int64_t row, int64_t col, float v) {
  const int64_t at = row * e.ld + col;
  bool valid = true;
  if (e.out_type == DType::f32) {
    static_cast<float*>(e.out)[at] = v;
  } else if (e.out_type == DType::bf16) {
    static_cast<__nv_bfloat16*>(e.out)[at] = from_float<__nv_bfloat16>(v);
  } else if (e.out_type == DType::f16) {
    static_cast<__half*>(e.out)[at] = from_float<__half>(v);
  } else {
    with_byte_format(e.out_type, [&](auto format) {
      ScaledEncoder<format.value> encoder(*e.out_scale);
      static_cast<uint8_t*>(e.out)[at] = static_cast<uint8_t>(encoder.encode(v));
      valid = !encoder.met_nan();
    });
  }
  return valid;
}

}  // namespace octavo::cuda
