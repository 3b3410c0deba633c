#pragma once
// What the host knows of the compiled variants of gemm_mixed.h.
#include <span>

#include "kernels/cuda/sm90/gemm_mixed.h"
#include "kernels/cuda/sm90/instance.h"

namespace octavo::cuda::sm90 {

constexpr int kMixedRows = 16, kMixedCols = 64;  // of y, what a warpgroup stores at once
constexpr int kStageK = 64;                      // of K a stage: one swizzle span of bf16

constexpr int mixed_row_bytes(MixedCode code) { return code == MixedCode::i4 ? 32 : 64; }
// Wide tiles, whose code is long as it is, know only none and gelu_tanh.
constexpr bool mixed_has_all_activations(int tile_n, int tile_m) {
  return tile_n * tile_m <= 128 * 128;
}

// How groups lie along the stages of a row.
struct GroupLayout {
  const void* scale;
  const float* zero_point;
  GroupScale type;
  int stages, across;  // of a group; groups of a row
};

struct MixedExtents {
  int m, n, k_blocks;
  TileOrder order;  // rows are clusters along N, columns tiles along M
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
