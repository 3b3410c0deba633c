#pragma once
// Element-wise functions over contiguous f32 or bf16 elements, vectorised. y may be x or a.
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo::cpu {

enum class Unary : uint8_t { silu, gelu_tanh, affine };  // affine: x * a + b
void unary_span(Unary function, DType type, const void* x, void* y, int64_t n, float a = 1,
                float b = 0);

enum class Binary : uint8_t { add, sub, mul, div };
// Steps are 1, or 0 for one element against all.
void binary_span(Binary function, DType type, const void* a, int64_t a_step, const void* b,
                 int64_t b_step, void* y, int64_t n);

}  // namespace octavo::cpu
