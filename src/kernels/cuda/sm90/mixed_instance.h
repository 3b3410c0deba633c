#pragma once
// What the host knows of the compiled variants of gemm_mixed.h.
#include <cuda.h>

#include <span>

#include "kernels/cuda/sm90/gemm_mixed.h"

namespace octavo::cuda::sm90 {

constexpr int kMixedThreads = 384;
constexpr int kMixedTileN = 128;                 // columns of y, a tile
constexpr int kMixedRows = 16, kMixedCols = 64;  // of y, what a warpgroup stores at once
constexpr int kStageK = 64;                      // of K a stage: one swizzle span of bf16

constexpr int mixed_row_bytes(MixedCode code) { return code == MixedCode::i4 ? 32 : 64; }
// Wide tiles, whose code is long as it is, know only none and gelu_tanh.
constexpr bool mixed_has_all_activations(int tile_m) { return tile_m <= 128; }

// How groups lie along the stages of a row.
struct GroupLayout {
  const void* scale;
  const float* zero_point;
  GroupScale type;
  int stages, across;  // of a group; groups of a row
};

// One product of a launch.
struct MixedMember {
  CUtensorMap x, w, y, residual;
  int m, n, k_blocks;            // an even number of stages
  int tiles_across, tiles_down;  // clusters along N, tiles along M
  int end_tile;                  // of the launch's tiles, behind this member's
  GroupLayout groups;
  Epilogue epilogue;
};
struct MixedLaunch {
  MixedMember members[kMixedMembers];
  int tiles;
  int group;  // clusters beside each other
};

struct MixedInstance {
  MixedCode code;
  MixedVariant variant;
  const void* kernel;  // gemm_mixed_kernel<...>
  int shared_bytes;
};

std::span<const MixedInstance> gemm_mixed_i8_instances();
std::span<const MixedInstance> gemm_mixed_e4m3_instances();
std::span<const MixedInstance> gemm_mixed_i4_instances();

}  // namespace octavo::cuda::sm90
