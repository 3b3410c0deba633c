#pragma once
#include <cstdint>
#include <span>

namespace octavo {

// What torch.randn(n, generator=torch.Generator("cpu").manual_seed(seed)) gives in float32. The
// generator is mt19937 seeded with the low 32 bits. From 16 elements on, torch fills the tensor
// with 24-bit uniforms and turns each block of 16 into normals in place (uniform j with uniform j +
// 8); a last partial block is redone from 16 fresh uniforms over the last 16 elements. Below 16,
// normals come in pairs from 53-bit uniforms in double. The words are torch's own; log, sine and
// cosine are portable_math.h's, so values are within 1e-6 of torch's (whose own differ by CPU) and
// the bits are the same on every machine.
void torch_normal(uint64_t seed, std::span<float> out);

}  // namespace octavo
