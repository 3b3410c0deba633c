#pragma once
// Conversion of values between any two element types.
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo {

// One row of n elements. Each value is rounded once, to nearest with ties to even, and saturates
// as codec.h says; between f64, i64 and i32 it does not pass through f32. Throws
// Error{not_finite} for a NaN that `to` cannot hold.
void convert_row(DType from, const void* src, DType to, void* dst, int64_t n);

}  // namespace octavo
