#pragma once
#include <cstdint>
#include <string_view>

#include "tensor/tensor.h"

namespace octavo {

enum class RngKind : uint8_t { torch, philox };
RngKind parse_rng(std::string_view name);  // Error lists the names

// Standard normal noise of the given shape, f32.
// torch: what torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)) gives (mt19937
// stream, its block-of-16 Box-Muller order from 16 elements on), values within 1e-6.
// philox: Philox 4x32-10 counter-based, element i depends on (seed, i) only; same bits everywhere.
Tensor randn(RngKind kind, uint64_t seed, Shape shape);

}  // namespace octavo
