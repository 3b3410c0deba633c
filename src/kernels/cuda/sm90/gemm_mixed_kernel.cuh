#pragma once
// The product of gemm_mixed.h, transposed: D[N, M] = w x^T. Codes of w become registers of bf16,
// the first operand of the tensor cores, so that they pass through shared memory once and in their
// own size; x, the second one, is read from there. A block of three warpgroups stays on its
// multiprocessor and takes tiles of 128 kBlocks columns of y and kM rows: one warp feeds a ring of
// stages (64 of K each) through the copy engine, two warpgroups widen and multiply, kBlocks blocks
// of 64 rows of D each. What a warpgroup widens next, it widens while its last products run.
// Blocks of a cluster work on tiles beside each other and fetch the common tile of x once, a part
// each.
#include "kernels/cuda/sm90/gemm_kernel.cuh"
#include "kernels/cuda/sm90/mixed_codes.cuh"
#include "kernels/cuda/sm90/mixed_epilogue.cuh"
#include "kernels/cuda/sm90/wgmma_registers.cuh"

namespace octavo::cuda::sm90 {

// Scale of a group and CodesI4::zero_of its zero point.
struct alignas(8) GroupEntry {
  float scale;
  uint32_t zero;
};
constexpr int kGroupWarps = 2;  // that fetch them, behind the producer's

template <class Codes, int kBlocks, int kM>
struct MixedShared {
  static constexpr int kTileN = 128 * kBlocks;
  static constexpr int kStageX = kM * kRowBytes, kStageW = kTileN * Codes::kRowBytes;
  static constexpr int kStageGroups = Codes::kGrouped ? kTileN * int(sizeof(GroupEntry)) : 0;
  static constexpr int kStaging = 2 * kMixedRing * kMixedChunkBytes;
  static constexpr int kFixed =
      kStaging + 2 * static_cast<int>(sizeof(MixedColumns<kBlocks>)) + 512;
  static constexpr int kMost = (kSharedBytes - kFixed) / (kStageX + kStageW + kStageGroups);
  static constexpr int kStages = kMost < 8 ? kMost : 8;
  static constexpr int kBytes = kStages * (kStageX + kStageW + kStageGroups) + kFixed;
  using Place = Cursor<kStages>;

  uint8_t* base;  // aligned to 1024
  __device__ uint8_t* x(int stage) const { return base + stage * kStageX; }
  __device__ uint8_t* w(int stage) const { return base + kStages * kStageX + stage * kStageW; }
  __device__ uint8_t* staging(int warpgroup) const {
    return w(kStages) + warpgroup * kMixedRing * kMixedChunkBytes;
  }
  __device__ GroupEntry* groups(int stage) const {
    return reinterpret_cast<GroupEntry*>(staging(2) + stage * kStageGroups);
  }
  __device__ MixedColumns<kBlocks>* columns(int warpgroup) const {
    return reinterpret_cast<MixedColumns<kBlocks>*>(groups(kStages)) + warpgroup;
  }
  __device__ uint64_t* full(int stage) const {
    return reinterpret_cast<uint64_t*>(columns(2)) + stage;
  }
  __device__ uint64_t* empty(int stage) const { return full(kStages) + stage; }
  __device__ uint64_t* residual(int warpgroup) const {
    return empty(kStages) + warpgroup * kMixedRing;
  }
};

// body(col, row) of y for every tile of this block.
template <int kTileN, int kM, int kCluster, class Body>
__device__ void for_tiles(const TileOrder& order, const Body& body) {
  const int rank = kCluster > 1 ? static_cast<int>(block_in_cluster()) : 0;
  const int clusters = static_cast<int>(gridDim.x) / kCluster;
  for (int t = static_cast<int>(blockIdx.x) / kCluster; t < tile_count(order); t += clusters) {
    int across, down;
    find_tile(order, t, &across, &down);
    body((across * kCluster + rank) * kTileN, down * kM);
  }
}

template <class Codes, int kBlocks, int kM, int kCluster>
__device__ void produce_mixed(const CUtensorMap& x, const CUtensorMap& w,
                              const MixedExtents& extents,
                              const MixedShared<Codes, kBlocks, kM>& shared) {
  using Shared = MixedShared<Codes, kBlocks, kM>;
  constexpr int kPart = kM / kCluster;
  const int rank = kCluster > 1 ? static_cast<int>(block_in_cluster()) : 0;
  typename Shared::Place at;
  for_tiles<Shared::kTileN, kM, kCluster>(extents.order, [&](int col, int row) {
    for (int k = 0; k < extents.k_blocks; ++k, at.advance()) {
      uint64_t* full = shared.full(at.stage);
      barrier_wait(shared.empty(at.stage), at.parity ^ 1);
      barrier_expect(full, Shared::kStageX + Shared::kStageW);
      load_box(shared.w(at.stage), &w, full, k * Codes::kRowBytes, col);
      uint8_t* part = shared.x(at.stage) + rank * kPart * kRowBytes;
      if constexpr (kCluster > 1) {
        load_box_multicast(part, &x, full, k * kStageK, row + rank * kPart, (1 << kCluster) - 1);
      } else {
        load_box(part, &x, full, k * kStageK, row);
      }
    }
  });
}

__device__ inline float load_group_scale(const GroupLayout& g, int64_t at) {
  if (g.type == GroupScale::f32) return static_cast<const float*>(g.scale)[at];
  const uint32_t bits = static_cast<const uint16_t*>(g.scale)[at];
  if (g.type == GroupScale::bf16) return __uint_as_float(bits << 16);
  float v;
  asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(static_cast<uint16_t>(bits)));
  return v;
}

// kGroupWarps warps: the groups' scales and zero points of every stage, fetched a stage ahead.
template <class Codes, int kBlocks, int kM, int kCluster>
__device__ void produce_groups(const GroupLayout& g, const MixedExtents& extents,
                               const MixedShared<Codes, kBlocks, kM>& shared) {
  using Shared = MixedShared<Codes, kBlocks, kM>;
  constexpr int kThreadsHere = 32 * kGroupWarps, kEach = Shared::kTileN / kThreadsHere;
  const int thread = static_cast<int>(threadIdx.x) - 32;
  typename Shared::Place at;
  for_tiles<Shared::kTileN, kM, kCluster>(extents.order, [&](int col, int) {
    float scale[kEach], zero[kEach];
    const auto load = [&](int group) {
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const int64_t n = min(col + thread + i * kThreadsHere, extents.n - 1);
        scale[i] = load_group_scale(g, n * g.across + group);
        zero[i] = g.zero_point ? g.zero_point[n * g.across + group] : 0.0f;
      }
    };
    load(0);
    int group = 0, left = g.stages;
    for (int k = 0; k < extents.k_blocks; ++k, at.advance()) {
      barrier_wait(shared.empty(at.stage), at.parity ^ 1);
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        shared.groups(at.stage)[thread + i * kThreadsHere] = {scale[i], CodesI4::zero_of(zero[i])};
      }
      __syncwarp();
      if (thread % 32 == 0) barrier_arrive(shared.full(at.stage));
      if (--left == 0 && k + 1 < extents.k_blocks) left = g.stages, load(++group);
    }
  });
}

// The blocks whose copies fill this stage may do so again, as far as this warp is concerned.
template <int kCluster>
__device__ void free_stage(uint64_t* empty) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (kCluster == 1) {
    if (lane == 0) barrier_arrive(empty);
  } else {
    if (lane < kCluster) barrier_arrive_at(empty, lane);
  }
}

// Half of a stage's products of one block of 64 rows.
template <int kM>
__device__ void multiply_half(float (&sums)[kM / 2], const uint32_t (&a)[2][4], uint64_t x,
                              int half, bool first) {
  products_begin();
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    WgmmaRegisters<kM>::run(sums, a[i], x + 2 * (2 * half + i), i > 0 || !first);
  }
  products_commit();
}

// The sums of one tile; `codes`: the thread's first pair of codes in a stage.
template <class Codes, int kBlocks, int kM, int kCluster>
__device__ void multiply_rows(const MixedShared<Codes, kBlocks, kM>& shared, uint32_t codes,
                              int k_blocks, typename MixedShared<Codes, kBlocks, kM>::Place& at,
                              float (&sums)[kBlocks][kM / 2]) {
  int previous = -1;
  for (int k = 0; k < k_blocks; ++k, at.advance()) {
    barrier_wait(shared.full(at.stage), at.parity);
    const uint32_t first = shared_address(shared.w(at.stage)) + codes;
    const uint64_t x = matrix_descriptor(shared.x(at.stage));
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) {
        uint32_t a[2][4];
        load_half<Codes>(first, block, half, {0, 0}, a);
        multiply_half<kM>(sums[block], a, x, half, k == 0 && half == 0);
        products_wait<1>();
        if (half == 0 && block == 0 && previous >= 0) free_stage<kCluster>(shared.empty(previous));
      }
    }
    previous = at.stage;
  }
  products_wait<0>();
  free_stage<kCluster>(shared.empty(previous));
}

// A thread's two rows of a group.
struct GroupPair {
  float scale[2];
  uint32_t zero[2];
  __device__ void load(const GroupEntry* rows) {
    const GroupEntry top = rows[0], bottom = rows[8];
    scale[0] = top.scale, scale[1] = bottom.scale, zero[0] = top.zero, zero[1] = bottom.zero;
  }
};

// The same for codes with groups. row: the thread's first row of w in a tile.
template <class Codes, int kBlocks, int kM, int kCluster>
__device__ void multiply_groups(const MixedShared<Codes, kBlocks, kM>& shared, uint32_t codes,
                                int row, int k_blocks,
                                typename MixedShared<Codes, kBlocks, kM>::Place& at,
                                float (&sums)[kBlocks][kM / 2]) {
#pragma unroll
  for (int i = 0; i < kBlocks * kM / 2; ++i) sums[i / (kM / 2)][i % (kM / 2)] = 0.0f;
  uint32_t a0[2][4];
  GroupPair group;
  const auto begin_block = [&](int stage, int block) {
    group.load(shared.groups(stage) + row + 64 * block);
    load_half<Codes>(shared_address(shared.w(stage)) + codes, block, 0, group.zero, a0);
  };
  barrier_wait(shared.full(at.stage), at.parity);
  begin_block(at.stage, 0);
  for (int k = 0; k < k_blocks; ++k) {
    const int stage = at.stage;
    const uint64_t x = matrix_descriptor(shared.x(stage));
    at.advance();
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      float part[kM / 2];
      multiply_half<kM>(part, a0, x, 0, true);
      uint32_t a1[2][4];
      load_half<Codes>(shared_address(shared.w(stage)) + codes, block, 1, group.zero, a1);
      multiply_half<kM>(part, a1, x, 1, false);
      const float scale[2] = {group.scale[0], group.scale[1]};
      products_wait<1>();
      if (block + 1 < kBlocks) {
        begin_block(stage, block + 1);
      } else if (k + 1 < k_blocks) {
        barrier_wait(shared.full(at.stage), at.parity);
        begin_block(at.stage, 0);
      }
      products_wait<0>();
      if (block + 1 == kBlocks) free_stage<kCluster>(shared.empty(stage));
#pragma unroll
      for (int i = 0; i < kM / 2; ++i) {
        sums[block][i] = fmaf(part[i], scale[i >> 1 & 1], sums[block][i]);
      }
    }
  }
}

template <class Codes, int kBlocks, int kM, int kCluster>
__device__ void consume_mixed(const CUtensorMap& y, const CUtensorMap& residual,
                              const MixedExtents& extents, const Epilogue& e,
                              const MixedShared<Codes, kBlocks, kM>& shared) {
  using Shared = MixedShared<Codes, kBlocks, kM>;
  const int thread = static_cast<int>(threadIdx.x) - kFirstConsumer;
  const int group = thread / 128, lane = thread % 32;
  const int row = group * 64 * kBlocks + 16 * (thread / 32 % 4) + lane / 4;
  const uint32_t codes = Codes::offset(row, lane);
  constexpr bool kAll = mixed_has_all_activations(Shared::kTileN, kM);
  MixedEpilogue<kBlocks, kM, kAll> epilogue(
      e, &y, &residual, extents.m, extents.n,
      {shared.staging(group), shared.residual(group), shared.columns(group), 1 + group});
  typename Shared::Place at;
  for_tiles<Shared::kTileN, kM, kCluster>(extents.order, [&](int col, int tile_row) {
    epilogue.begin(col + group * 64 * kBlocks, tile_row);
    float sums[kBlocks][kM / 2];
    if constexpr (Codes::kGrouped) {
      multiply_groups<Codes, kBlocks, kM, kCluster>(shared, codes, row, extents.k_blocks, at, sums);
    } else {
      multiply_rows<Codes, kBlocks, kM, kCluster>(shared, codes, extents.k_blocks, at, sums);
    }
    epilogue.finish(sums);
  });
  wait_stores();
}

template <class Codes, int kBlocks, int kM, int kCluster>
__global__ __cluster_dims__(kCluster) __launch_bounds__(kThreads, 1) void gemm_mixed_kernel(
    const __grid_constant__ CUtensorMap x, const __grid_constant__ CUtensorMap w,
    const __grid_constant__ CUtensorMap y, const __grid_constant__ CUtensorMap residual,
    const __grid_constant__ MixedExtents extents, const __grid_constant__ GroupLayout groups,
    const __grid_constant__ Epilogue e) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint8_t memory[];
  using Shared = MixedShared<Codes, kBlocks, kM>;
  const Shared shared{memory};
  if (threadIdx.x == 0) {
    prefetch_map(&x), prefetch_map(&w), prefetch_map(&y);
    for (int i = 0; i < Shared::kStages; ++i) {
      barrier_init(shared.full(i), Codes::kGrouped ? 1 + kGroupWarps : 1);
      barrier_init(shared.empty(i), 8 * kCluster);
    }
    for (int i = 0; i < 2 * kMixedRing; ++i) barrier_init(shared.residual(0) + i, 1);
    barrier_init_fence();
  }
  if constexpr (kCluster > 1) {
    sync_cluster();
  } else {
    __syncthreads();
  }
  allow_next_launch();
  wait_for_earlier_launch();
  constexpr int kProducer = Codes::kGrouped ? 40 : 24, kConsumer = Codes::kGrouped ? 232 : 240;
  if (threadIdx.x < kFirstConsumer) {
    give_registers<kProducer>();
    if (threadIdx.x < 32) {
      if (elect_one()) produce_mixed<Codes, kBlocks, kM, kCluster>(x, w, extents, shared);
    } else if (Codes::kGrouped && threadIdx.x < 32 * (1 + kGroupWarps)) {
      produce_groups<Codes, kBlocks, kM, kCluster>(groups, extents, shared);
    }
    __syncwarp();
  } else {
    take_registers<kConsumer>();
    consume_mixed<Codes, kBlocks, kM, kCluster>(y, residual, extents, e, shared);
  }
  // Nobody leaves while others may still arrive at its barriers.
  if constexpr (kCluster > 1) sync_cluster();
#endif
}

template <class Codes, int kBlocks, int kM, int kCluster>
MixedInstance mixed_instance() {
  return {Codes::kCode,
          {128 * kBlocks, kM, kCluster},
          reinterpret_cast<const void*>(&gemm_mixed_kernel<Codes, kBlocks, kM, kCluster>),
          MixedShared<Codes, kBlocks, kM>::kBytes};
}

}  // namespace octavo::cuda::sm90
