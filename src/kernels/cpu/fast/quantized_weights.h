#pragma once
// Operands of quantized products, made ready for the fast kernels.
#include "kernels/cpu/ref/scale_grid.h"

namespace octavo::cpu {

// x_scale is f32 and one value, or one a row of the matrix view.
Verdict supports_x_scale(const Call& call);
// One scale a row of w at most.
bool scales_by_row(const Call& call);
// f32, the scale of each row of w.
Tensor row_scales(const Call& call);
// f32 of w's shape: its codes less their zero points, times their scales unless scales_by_row().
Tensor decoded_weights(const Call& call);
// Codes of x and w are i8, without zero points or scales along k, and int32 holds their sums.
Verdict supports_integer_sums(const Call& call);
// x's codes times their scales, f32 of x's shape, into dst.
void dequantize_x(const Call& call, const void* codes, const float* scale, float* dst);
// The step from x_scale to x_scale of the next row: 0 or 1.
int64_t x_scale_stride(const Call& call);

}  // namespace octavo::cpu
