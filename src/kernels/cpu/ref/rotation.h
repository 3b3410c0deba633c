#pragma once
// Rotation of interleaved pairs, and where a row of x[B, S, H, D] finds its position.
#include "kernels/cpu/ref/operands.h"

namespace octavo::cpu {

// (x0, x1) -> (x0 cos - x1 sin, x1 cos + x0 sin) for pairs (x[2i], x[2i+1]) of one row.
// x(i) gives element i, store(i, value) takes it.
template <class Read, class Store>
void rotate_row(const Read& x, const float* cos, const float* sin, int64_t depth,
                const Store& store) {
  for (int64_t i = 0; i < depth / 2; ++i) {
    const double even = x(2 * i), odd = x(2 * i + 1);
    store(2 * i, even * cos[i] - odd * sin[i]);
    store(2 * i + 1, odd * cos[i] + even * sin[i]);
  }
}

// Offset of the cos and sin row for row (b, s, h) of x.
inline int64_t rotation_offset(const Shape& x, int64_t row) {
  return row / x[2] % x[1] * (x[3] / 2);
}

}  // namespace octavo::cpu
