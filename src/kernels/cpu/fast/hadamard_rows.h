#pragma once
// Hadamard transforms of consecutive blocks, vectorised.
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo::cpu {

// y = H x / sqrt(block) of `count` blocks of `block` elements (a power of two), f32 or bf16; y may
// be x.
void hadamard_blocks(DType type, const void* x, void* y, int64_t block, int64_t count);

}  // namespace octavo::cpu
