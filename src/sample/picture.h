#pragma once
#include <cstdint>
#include <vector>

#include "io/png.h"
#include "tensor/tensor.h"

namespace octavo {

// [3, H, W] f32 in [-1, 1] -> H * W * 3 bytes, round(255 (v / 2 + 1 / 2)) as diffusers'
// VaeImageProcessor does; values outside are clamped. Error{not_finite} on NaN.
std::vector<uint8_t> to_rgb8(const Tensor& picture);

// Pictures [3, H, W] of one size in rows of `columns` (0: near square), `gap` white pixels between.
Image make_grid(const std::vector<Tensor>& pictures, int64_t columns = 0, int64_t gap = 2);

}  // namespace octavo
