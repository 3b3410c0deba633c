#pragma once
// What the host knows of the compiled variants of the product.
#include <cuda.h>

#include <span>

#include "kernels/cuda/sm90/gemm.h"

namespace octavo::cuda::sm90 {

constexpr int kRowBytes = 128;  // of a stage's rows: one swizzle span
constexpr int kThreads = 384;
// What a warp stores at once: 16 rows of 32 columns, of 64 in codes where they divide those of its
// warpgroup.
constexpr int kWarpRows = 16;
constexpr int chunk_cols(int bytes, int group_cols) {
  return bytes == 1 && group_cols % 64 == 0 ? 64 : 32;
}

// Wide tiles, whose code is long as it is, know only none and gelu_tanh.
constexpr bool has_all_activations(int group_cols) { return group_cols <= 128; }

// How tiles are dealt out: down `group` rows of them before the next column of tiles, so that what
// runs at the same time shares operands in L2. A row is that of a whole cluster.
struct TileOrder {
  int rows, cols, group;
};

// One of the products of a launch.
struct Problem {
  CUtensorMap x, w, y, residual;
  Epilogue epilogue;
  int m, n, k_blocks;
  TileOrder order;
};
// Their tiles follow one another; ends[i] is the number of those of the first i + 1.
struct Group {
  Problem problems[kMostProblems];
  int ends[kMostProblems];
  int count, tiles;
};
static_assert(sizeof(Group) <= 4096, "a launch's parameters");

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
