#pragma once
// Vectorised conversions of contiguous elements; dtypes are named at run time.
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo::cpu {

// f32, bf16, i8, e4m3, e5m2 -> f32, exact. Others: is_widening says no.
bool widens_fast(DType from);
void widen(DType from, const void* src, float* dst, int64_t n);
// f32 -> bf16, to nearest even.
void narrow_to_bf16(const float* src, void* dst, int64_t n);
// dst = float(src) (+ dst where `add`), for exact integers held in f32.
void f32_to_i32(const float* src, int32_t* dst, int64_t n, bool add);

}  // namespace octavo::cpu
