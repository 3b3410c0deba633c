#pragma once
// Copies of elements of any type of whole bytes.
#include "kernels/cpu/ref/operands.h"

namespace octavo::cpu {

// Refuses packed types.
Verdict supports_movement(const Call& call);

// dst, dense of `shape`, at [i0, i1, ...] = src element begin + sum i_a * strides[a].
struct Strided {
  Shape shape;
  std::vector<int64_t> strides;
  int64_t begin = 0;
};
std::vector<int64_t> dense_strides(const Shape& shape);
void strided_copy(const Strided& from, int64_t element_bytes, const void* src, void* dst);
inline int64_t element_bytes(DType dtype) { return info(dtype).bits / 8; }

}  // namespace octavo::cpu
