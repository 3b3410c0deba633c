#include "sample/philox.h"

#include <cmath>
#include <utility>

#include "sample/portable_math.h"

namespace octavo {
namespace {

std::pair<double, double> box_muller(uint32_t a, uint32_t b) {
  constexpr double kTwoPi = 0x1.921fb54442d18p2;
  const double u = (a + 0.5) * 0x1p-32, v = (b + 0.5) * 0x1p-32;
  const double radius = std::sqrt(-2 * portable_log(u));
  const SinCos angle = portable_sincos(kTwoPi * v);
  return {radius * angle.cos, radius * angle.sin};
}

uint32_t low(uint64_t v) { return static_cast<uint32_t>(v); }
uint32_t high(uint64_t v) { return static_cast<uint32_t>(v >> 32); }

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0], p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {high(p1) ^ c[1] ^ key[0], low(p1), high(p0) ^ c[3] ^ key[1], low(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return c;
}

void philox_normal(uint64_t seed, std::span<float> out) {
  for (size_t i = 0; i < out.size(); i += 4) {
    const uint64_t block = i / 4;
    const auto words = philox4x32({low(block), high(block), 0, 0}, {low(seed), high(seed)});
    const auto [a, b] = box_muller(words[0], words[1]);
    const auto [c, d] = box_muller(words[2], words[3]);
    const double normals[] = {a, b, c, d};
    for (size_t lane = 0; lane < 4 && i + lane < out.size(); ++lane) {
      out[i + lane] = static_cast<float>(normals[lane]);
    }
  }
}

}  // namespace octavo
