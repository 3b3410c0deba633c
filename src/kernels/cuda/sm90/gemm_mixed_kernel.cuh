#pragma once
// The product of gemm_mixed.h, transposed: D[N, M] = w x^T. Codes of w become registers of bf16,
// the first operand of the tensor cores, so that they pass through shared memory once and in their
// own size; x, the second one, is read from there. A block of three warpgroups stays on its
// multiprocessor and takes tiles of 128 columns of y and kM rows: one warp feeds a ring of stages
// (64 of K each) through the copy engine, two warpgroups widen and multiply, 64 rows of D each,
// stage after stage in turns: while the products of one run, the other widens its next stage into
// a second set of registers. Blocks of a cluster work on tiles beside each other and fetch the
// common tile of x once, a part each.
#include "kernels/cuda/sm90/mixed_codes.cuh"
#include "kernels/cuda/sm90/mixed_epilogue.cuh"
#include "kernels/cuda/sm90/wgmma_registers.cuh"

namespace octavo::cuda::sm90 {

constexpr int kMixedFirstConsumer = 128;
constexpr int kMixedSharedBytes = 227 * 1024;
constexpr int kSteps = kStageK / 16;             // products of a stage
constexpr int kConsumers = 256, kMixedTurn = 3;  // barrier kMixedTurn + warpgroup: its turn
constexpr int kGroupWarps = 2;                   // that fetch them, behind the producer's

template <class CodesType, int kTileM, int kClusterBlocks>
struct MixedShape {
  using Codes = CodesType;
  static constexpr int kM = kTileM, kCluster = kClusterBlocks, kSums = kM / 2;
  static constexpr bool kAllActivations = mixed_has_all_activations(kM);
};

// A place in the ring; parity flips every time around.
template <int kStages>
struct MixedPlace {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void advance() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

template <class S>
struct MixedShared {
  static constexpr int kM = S::kM;
  using Codes = typename S::Codes;
  static constexpr int kStageX = kM * 128, kStageW = kMixedTileN * Codes::kRowBytes;
  static constexpr int kStageGroups = Codes::kGrouped ? kMixedTileN * int(sizeof(GroupEntry)) : 0;
  static constexpr int kStaging = 2 * kMixedRing * kMixedChunkBytes;
  static constexpr int kFixed = kStaging + 2 * static_cast<int>(sizeof(MixedColumns)) + 512;
  static constexpr int kMost = (kMixedSharedBytes - kFixed) / (kStageX + kStageW + kStageGroups);
  static constexpr int kStages = kMost < 8 ? kMost : 8;
  static constexpr int kBytes = kStages * (kStageX + kStageW + kStageGroups) + kFixed;
  using Place = MixedPlace<kStages>;

  uint8_t* base;  // aligned to 1024
  __device__ uint8_t* x(int stage) const { return base + stage * kStageX; }
  __device__ uint8_t* w(int stage) const { return base + kStages * kStageX + stage * kStageW; }
  __device__ uint8_t* staging(int warpgroup) const {
    return w(kStages) + warpgroup * kMixedRing * kMixedChunkBytes;
  }
  __device__ GroupEntry* groups(int stage) const {
    return reinterpret_cast<GroupEntry*>(staging(2) + stage * kStageGroups);
  }
  __device__ MixedColumns* columns(int warpgroup) const {
    return reinterpret_cast<MixedColumns*>(groups(kStages)) + warpgroup;
  }
  __device__ uint64_t* full(int stage) const {
    return reinterpret_cast<uint64_t*>(columns(2)) + stage;
  }
  __device__ uint64_t* empty(int stage) const { return full(kStages) + stage; }
  __device__ uint64_t* residual(int warpgroup) const {
    return empty(kStages) + warpgroup * kMixedRing;
  }
};

// body(member, col, row) for the tiles of this block. Tiles are dealt out across `group` columns of
// them before the next row of tiles, so that what runs at the same time shares operands in L2.
template <class S, class Body>
__device__ void for_tiles(const MixedLaunch& launch, const Body& body) {
  const int rank = S::kCluster > 1 ? static_cast<int>(block_in_cluster()) : 0;
  const int clusters = static_cast<int>(gridDim.x) / S::kCluster;
  int i = 0, first_tile = 0;
  for (int t = static_cast<int>(blockIdx.x) / S::kCluster; t < launch.tiles; t += clusters) {
    while (t >= launch.members[i].end_tile) first_tile = launch.members[i++].end_tile;
    const MixedMember& m = launch.members[i];
    const int in_band = launch.group * m.tiles_down, at = t - first_tile;
    const int first = at / in_band * launch.group, within = at - first * m.tiles_down;
    const int width = min(m.tiles_across - first, launch.group);
    body(m, ((first + within % width) * S::kCluster + rank) * kMixedTileN, within / width * S::kM);
  }
}

template <class S>
__device__ void produce_mixed(const MixedLaunch& launch, const MixedShared<S>& shared) {
  constexpr int kPart = S::kM / S::kCluster;
  const int rank = S::kCluster > 1 ? static_cast<int>(block_in_cluster()) : 0;
  typename MixedShared<S>::Place at;
  for_tiles<S>(launch, [&](const MixedMember& m, int col, int row) {
    for (int k = 0; k < m.k_blocks; ++k, at.advance()) {
      uint64_t* full = shared.full(at.stage);
      barrier_wait(shared.empty(at.stage), at.parity ^ 1);
      barrier_expect(full, MixedShared<S>::kStageX + MixedShared<S>::kStageW);
      load_box(shared.w(at.stage), &m.w, full, k * S::Codes::kRowBytes, col);
      uint8_t* part = shared.x(at.stage) + rank * kPart * 128;
      if constexpr (S::kCluster > 1) {
        constexpr uint16_t kAll = (1 << S::kCluster) - 1;
        load_box_multicast(part, &m.x, full, k * kStageK, row + rank * kPart, kAll);
      } else {
        load_box(part, &m.x, full, k * kStageK, row);
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
template <class S>
__device__ void produce_groups(const MixedLaunch& launch, const MixedShared<S>& shared) {
  constexpr int kThreadsHere = 32 * kGroupWarps, kEach = kMixedTileN / kThreadsHere;
  const int thread = static_cast<int>(threadIdx.x) - 32;
  typename MixedShared<S>::Place at;
  for_tiles<S>(launch, [&](const MixedMember& m, int col, int) {
    const GroupLayout& g = m.groups;
    float scale[kEach], zero[kEach];
    const auto load = [&](int group) {
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const int64_t n = min(col + thread + i * kThreadsHere, m.n - 1);
        scale[i] = load_group_scale(g, n * g.across + group);
        zero[i] = g.zero_point ? g.zero_point[n * g.across + group] : 0.0f;
      }
    };
    load(0);
    int group = 0, left = g.stages;
    for (int k = 0; k < m.k_blocks; ++k, at.advance()) {
      barrier_wait(shared.empty(at.stage), at.parity ^ 1);
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        shared.groups(at.stage)[thread + i * kThreadsHere] = {scale[i],
                                                              -(136.0f + zero[i]) * scale[i]};
      }
      __syncwarp();
      if (thread % 32 == 0) barrier_arrive(shared.full(at.stage));
      if (--left == 0 && group + 1 < g.across) left = g.stages, load(++group);
    }
  });
}

// The blocks whose copies fill this stage may do so again, as far as this warp is concerned.
template <class S>
__device__ void free_stage(uint64_t* empty) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (S::kCluster == 1) {
    if (lane == 0) barrier_arrive(empty);
  } else {
    if (lane < S::kCluster) barrier_arrive_at(empty, lane);
  }
}

// A stage's operand in registers: the thread's part of 64 rows of w.
template <class Codes>
struct Widened {
  uint32_t a[kSteps][4];

  // codes: address of the thread's first pair; groups: entry of the thread's first row.
  __device__ void fetch(uint32_t codes, const GroupEntry* groups) {
    GroupEntry entries[2] = {};
    if constexpr (Codes::kGrouped) entries[0] = groups[0], entries[1] = groups[8];
    uint32_t pairs[kSteps][4];
#pragma unroll
    for (int s = 0; s < kSteps; ++s) load_step<Codes>(codes, s, pairs[s]);
#pragma unroll
    for (int s = 0; s < kSteps; ++s) widen_step<Codes>(pairs[s], entries, a[s]);
  }
};

template <class S>
__device__ void multiply_stage(float (&sums)[S::kSums], const Widened<typename S::Codes>& w,
                               const uint8_t* x, bool first) {
  const uint64_t b = matrix_descriptor(x);
  products_begin();
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    WgmmaRegisters<S::kM>::run(sums, w.a[s], b + 2 * s, s > 0 || !first);
  }
  products_commit();
}

// The sums of one tile, of an even number of stages: the two sets of registers take turns. codes,
// row: the thread's first pair in a stage, and its row.
template <class S>
__device__ void multiply_tile(const MixedShared<S>& shared, uint32_t codes, int row, int k_blocks,
                              typename MixedShared<S>::Place& at, float (&sums)[S::kSums],
                              int group) {
  Widened<typename S::Codes> w[2];
  const auto fetch = [&](Widened<typename S::Codes>& to) {
    barrier_wait(shared.full(at.stage), at.parity);
    to.fetch(shared_address(shared.w(at.stage)) + codes, shared.groups(at.stage) + row);
  };
  // A branch around every later one: ptxas would move its arithmetic behind the wait.
  fetch(w[0]);
  int previous = -1;
  for (int k = 0; k < k_blocks; k += 2) {
#pragma unroll
    for (int turn = 0; turn < 2; ++turn) {
      const int stage = at.stage;
      at.advance();
      products_wait<0>();
      if (previous >= 0) free_stage<S>(shared.empty(previous));
      sync_threads(kMixedTurn + group, kConsumers);
      multiply_stage<S>(sums, w[turn], shared.x(stage), k + turn == 0);
      arrive_threads(kMixedTurn + 1 - group, kConsumers);
      previous = stage;
      if (k + turn + 1 < k_blocks) fetch(w[1 - turn]);
    }
  }
  products_wait<0>();
  free_stage<S>(shared.empty(previous));
}

template <class S>
__device__ void consume_mixed(const MixedLaunch& launch, const MixedShared<S>& shared) {
  const int thread = static_cast<int>(threadIdx.x) - kMixedFirstConsumer;
  const int group = thread / 128, lane = thread % 32;
  const int row = group * 64 + 16 * (thread / 32 % 4) + lane / 4;
  const uint32_t codes = S::Codes::offset(row, lane);
  MixedEpilogue<S::kM, S::kAllActivations> epilogue(
      {shared.staging(group), shared.residual(group), shared.columns(group), 1 + group});
  typename MixedShared<S>::Place at;
  if (group == 1) arrive_threads(kMixedTurn, kConsumers);
  for_tiles<S>(launch, [&](const MixedMember& m, int col, int tile_row) {
    epilogue.begin(&m, col + 64 * group, tile_row);
    float sums[S::kSums];
    multiply_tile<S>(shared, codes, row, m.k_blocks, at, sums, group);
    epilogue.finish(sums);
  });
  if (group == 0) sync_threads(kMixedTurn, kConsumers);  // with the last arrival
  wait_stores();
}

template <class S>
__global__ __cluster_dims__(S::kCluster)
    __launch_bounds__(kMixedThreads,
                      1) void gemm_mixed_kernel(const __grid_constant__ MixedLaunch launch) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint8_t memory[];
  using Shared = MixedShared<S>;
  constexpr bool kGrouped = S::Codes::kGrouped;
  const Shared shared{memory};
  if (threadIdx.x == 0) {
    for (int i = 0; i < Shared::kStages; ++i) {
      barrier_init(shared.full(i), kGrouped ? 1 + kGroupWarps : 1);
      barrier_init(shared.empty(i), 8 * S::kCluster);
    }
    for (int i = 0; i < 2 * kMixedRing; ++i) barrier_init(shared.residual(0) + i, 1);
    barrier_init_fence();
  }
  if constexpr (S::kCluster > 1) {
    sync_cluster();
  } else {
    __syncthreads();
  }
  allow_next_launch();
  wait_for_earlier_launch();
  constexpr int kProducer = kGrouped ? 40 : 24, kConsumer = kGrouped ? 232 : 240;
  if (threadIdx.x < kMixedFirstConsumer) {
    give_registers<kProducer>();
    if (threadIdx.x < 32) {
      if (elect_one()) produce_mixed<S>(launch, shared);
    } else if (kGrouped && threadIdx.x < 32 * (1 + kGroupWarps)) {
      produce_groups<S>(launch, shared);
    }
    __syncwarp();
  } else {
    take_registers<kConsumer>();
    consume_mixed<S>(launch, shared);
  }
  // Nobody leaves while others may still arrive at its barriers.
  if constexpr (S::kCluster > 1) sync_cluster();
#endif
}

template <class S>
MixedInstance mixed_instance() {
  return {S::Codes::kCode,
          {S::kM, S::kCluster},
          reinterpret_cast<const void*>(&gemm_mixed_kernel<S>),
          MixedShared<S>::kBytes};
}

}  // namespace octavo::cuda::sm90
