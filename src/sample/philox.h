#pragma once
// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter
// and a key give four random words, with no state between calls.
#include <array>
#include <cstdint>
#include <span>

namespace octavo {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// out[i] = element i of the standard normal stream of `seed`. Block b = i / 4 has counter
// {b low, b high, 0, 0} and key {seed low, seed high}; its words w0..w3 give u = (w + 1/2) 2^-32,
// and Box-Muller gives sqrt(-2 ln u0) cos and sin (2 pi u1), then the same of u2, u3. In double,
// rounded once; portable_math.h, so the bits are the same everywhere.
void philox_normal(uint64_t seed, std::span<float> out);

}  // namespace octavo
