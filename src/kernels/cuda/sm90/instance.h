#pragma once
// What the host knows of the compiled variants of the product.
#include <span>

#include "kernels/cuda/sm90/gemm.h"

namespace octavo::cuda::sm90 {

constexpr int kRowBytes = 128;  // of a stage's rows: one swizzle span
constexpr int kThreads = 384;
constexpr int kChunkCols = 32, kWarpRows = 16;  // what a warp stores at once

// Wide tiles, whose code is long as it is, know only none and gelu_tanh.
constexpr bool has_all_activations(int tile_n) { return tile_n <= 128; }

// How tiles are dealt out: down `group` rows of them before the next column of tiles, so that what
// runs at the same time shares operands in L2. A row is that of a whole cluster.
struct TileOrder {
  int rows, cols, group;
};

struct Extents {
  int m, n, k_blocks;
  TileOrder order;
};

struct Instance {
  Element element;
  Output output;
  Variant variant;
  const void* kernel;  // gemm_kernel<...>
  int shared_bytes;
};

std::span<const Instance> gemm_bf16_instances();
std::span<const Instance> gemm_e4m3_instances();
std::span<const Instance> gemm_e4m3_codes_instances();
std::span<const Instance> gemm_i8_instances();
std::span<const Instance> gemm_i8_codes_instances();

}  // namespace octavo::cuda::sm90
