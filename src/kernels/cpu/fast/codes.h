#pragma once
// Quantization of contiguous f32 or bf16 elements, vectorised.
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo::cpu {

// The bits of the largest |x|, which order as the values do, NaN on top.
uint32_t absmax_bits(DType type, const void* src, int64_t n);
// codes[i] = encode(src[i] / scale) for i8, e4m3, e5m2. False if a NaN met a format that has none.
bool encode_scaled(DType type, const void* src, float scale, DType format, void* codes, int64_t n);

}  // namespace octavo::cpu
