#include "sample/torch_normal.h"

#include <cmath>
#include <random>

#include "sample/portable_math.h"

namespace octavo {
namespace {

constexpr size_t kBlock = 16;

float uniform24(std::mt19937& engine) { return static_cast<float>(engine() & 0xffffff) * 0x1p-24f; }

double uniform53(std::mt19937& engine) {
  const uint64_t high = engine(), low = engine();
  return static_cast<double>(((high << 32) | low) & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
}

// torch computes this in float32; each step is rounded here as it is there.
void box_muller_block(float* block) {
  constexpr float kTwoPi = 6.283185307179586f;
  for (size_t i = 0; i < kBlock / 2; ++i) {
    const float u = 1 - block[i], v = block[i + kBlock / 2];
    const float radius = std::sqrt(-2 * static_cast<float>(portable_log(u)));
    const SinCos angle = portable_sincos(kTwoPi * v);
    block[i] = radius * static_cast<float>(angle.cos);
    block[i + kBlock / 2] = radius * static_cast<float>(angle.sin);
  }
}

void fill_blocks(std::mt19937& engine, std::span<float> out) {
  for (float& value : out) value = uniform24(engine);
  for (size_t i = 0; i + kBlock <= out.size(); i += kBlock) box_muller_block(&out[i]);
  if (out.size() % kBlock == 0) return;
  const auto tail = out.last(kBlock);
  for (float& value : tail) value = uniform24(engine);
  box_muller_block(tail.data());
}

void fill_pairs(std::mt19937& engine, std::span<float> out) {
  constexpr double kTwoPi = 0x1.921fb54442d18p2;
  for (size_t i = 0; i < out.size(); i += 2) {
    const double u = uniform53(engine), v = uniform53(engine);
    const double radius = std::sqrt(-2 * portable_log(1 - v));
    const SinCos angle = portable_sincos(kTwoPi * u);
    out[i] = static_cast<float>(radius * angle.cos);
    if (i + 1 < out.size()) out[i + 1] = static_cast<float>(radius * angle.sin);
  }
}

}  // namespace

void torch_normal(uint64_t seed, std::span<float> out) {
  std::mt19937 engine(static_cast<uint32_t>(seed));
  if (out.size() < kBlock) {
    fill_pairs(engine, out);
  } else {
    fill_blocks(engine, out);
  }
}

}  // namespace octavo
