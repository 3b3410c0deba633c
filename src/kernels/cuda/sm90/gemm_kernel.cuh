#pragma once
// The product of gemm.h. A block of three warpgroups stays on its multiprocessor and takes tiles of
// kM x kN: one warp feeds a ring of shared-memory stages (128 bytes of K each) through the copy
// engine, two warpgroups multiply. Either they take turns (kTurns), a tile each, so that the
// epilogue of one runs under the products of the other; or they share a tile, which leaves room for
// larger ones. Blocks of a cluster work on neighbouring tiles and fetch what they share of x and w
// once, a part each.
#include "kernels/cuda/sm90/epilogue.cuh"
#include "kernels/cuda/sm90/instance.h"

namespace octavo::cuda::sm90 {

constexpr int kFirstConsumer = 128;
constexpr int kProducerRegisters = 24, kConsumerRegisters = 240;
constexpr int kSharedBytes = 227 * 1024;
constexpr int kWarpRoom = 4096;  // the least for a warp's chunks: stores are read late

struct TileAt {
  int problem, row, col;  // of the cluster's tiles in the problem's
};
// problem: at most the tile's.
__device__ inline TileAt find_tile(const Group& group, int tile, int problem) {
  while (tile >= group.ends[problem]) ++problem;
  const TileOrder& order = group.problems[problem].order;
  const int index = problem == 0 ? tile : tile - group.ends[problem - 1];
  const int band = index / (order.group * order.cols), first = band * order.group;
  const int height = min(order.rows - first, order.group), within = index - first * order.cols;
  return {problem, first + within % height, within / height};
}
// How deep the tile's products are; one that there is not has none.
__device__ inline int blocks_of_tile(const Group& group, int tile, int problem) {
  if (tile >= group.tiles) return 0;
  while (tile >= group.ends[problem]) ++problem;
  return group.problems[problem].k_blocks;
}

// The shape of a variant; kBlocks: of 64 rows.
template <int kTileM, int kTileN, int kDown, int kAcross, Share kShare>
struct Shape {
  static constexpr int kM = kTileM, kN = kTileN;
  static constexpr int kClusterM = kDown, kClusterN = kAcross, kCluster = kDown * kAcross;
  static constexpr bool kTurns = kShare == Share::turns;
  // What a warpgroup multiplies.
  static constexpr int kGroupRows = kShare == Share::rows ? kM / 2 : kM;
  static constexpr int kGroupCols = kShare == Share::columns ? kN / 2 : kN;
  static constexpr int kBlocks = kGroupRows / 64;
};

template <class S>
struct Shared {
  static constexpr int kN = S::kN, kGroupCols = S::kGroupCols;
  static constexpr int kReaders = S::kTurns ? 1 : 2;  // warpgroups that multiply a stage
  static constexpr int kStageA = S::kM * kRowBytes, kStageB = kN * kRowBytes;
  static constexpr int kColumns = 2 * static_cast<int>(sizeof(Columns<kGroupCols>)),
                       kBarriers = 1024;
  static constexpr int kLeast = 8 * kWarpRoom + kColumns + kBarriers;  // beside the stages
  static constexpr int kMost = (kSharedBytes - kLeast) / (kStageA + kStageB);
  static constexpr int kStages = kMost < 10 ? kMost : 10;
  static constexpr int kRing = kStages * (kStageA + kStageB);
  static constexpr int kRest = (kSharedBytes - kRing - kColumns - kBarriers) / 8 / 1024 * 1024;
  static constexpr int kWarpBytes = kRest < 8192 ? kRest : 8192;  // of a warp's chunks
  static constexpr int kBytes = kRing + 8 * kWarpBytes + kColumns + kBarriers;

  uint8_t* base;  // aligned to 1024
  __device__ uint8_t* a(int stage) const { return base + stage * kStageA; }
  __device__ uint8_t* b(int stage) const { return base + kStages * kStageA + stage * kStageB; }
  __device__ Columns<kGroupCols>* columns(int warpgroup) const {
    return reinterpret_cast<Columns<kGroupCols>*>(base + kRing + 8 * kWarpBytes) + warpgroup;
  }
  __device__ uint64_t* full(int stage) const {
    return reinterpret_cast<uint64_t*>(columns(2)) + stage;
  }
  __device__ uint64_t* empty(int stage) const { return full(kStages) + stage; }
  __device__ WarpMemory warp(int i) const {
    return {base + kRing + i * kWarpBytes, empty(kStages) + i * kMostChunks};
  }
};
static_assert((2 * 10 + 8 * kMostChunks) * 8 <= 1024, "barriers do not fit");

// A place in the ring; parity flips every time around.
template <int kStages>
struct Cursor {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void advance() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
  __device__ void advance(int steps) {
    stage += steps;
    parity ^= static_cast<uint32_t>(stage / kStages) & 1;
    stage %= kStages;
  }
};

// This block's part of an operand's tile, for itself and the blocks of the cluster that share it.
template <int kShare>
__device__ void fetch_part(uint8_t* tile, int part_rows, int part, const CUtensorMap& map,
                           uint64_t* full, int col, int row, uint16_t blocks) {
  uint8_t* to = tile + part * part_rows * kRowBytes;
  if constexpr (kShare > 1) {
    load_box_multicast(to, &map, full, col, row + part * part_rows, blocks);
  } else {
    load_box(to, &map, full, col, row);
  }
}

// Blocks of a cluster are numbered row by row.
template <class Operand, class S>
__device__ void produce(const Group& group, const Shared<S>& shared) {
  constexpr int kCols = kRowBytes / Operand::kBytes, kDown = S::kClusterM, kAcross = S::kClusterN;
  const int rank = S::kCluster > 1 ? static_cast<int>(block_in_cluster()) : 0;
  const int down = rank / kAcross, across = rank % kAcross;
  const auto x_blocks = static_cast<uint16_t>(((1 << kAcross) - 1) << (down * kAcross));
  uint16_t w_blocks = 0;
  for (int i = 0; i < kDown; ++i) w_blocks |= static_cast<uint16_t>(1 << (i * kAcross + across));
  const int clusters = static_cast<int>(gridDim.x) / S::kCluster;
  Cursor<Shared<S>::kStages> at;
  TileAt tile = {};
  for (int t = static_cast<int>(blockIdx.x) / S::kCluster; t < group.tiles; t += clusters) {
    tile = find_tile(group, t, tile.problem);
    const Problem& p = group.problems[tile.problem];
    const int row = (tile.row * kDown + down) * S::kM, col = (tile.col * kAcross + across) * S::kN;
    const int k_blocks = p.k_blocks;
    for (int k = 0; k < k_blocks; ++k) {
      uint64_t* full = shared.full(at.stage);
      barrier_wait(shared.empty(at.stage), at.parity ^ 1);
      barrier_expect(full, Shared<S>::kStageA + Shared<S>::kStageB);
      fetch_part<kAcross>(shared.a(at.stage), S::kM / kAcross, across, p.x, full, k * kCols, row,
                          x_blocks);
      fetch_part<kDown>(shared.b(at.stage), S::kN / kDown, down, p.w, full, k * kCols, col,
                        w_blocks);
      at.advance();
    }
  }
}

// The blocks whose copies fill this stage, those of the same row or column of the cluster, may do
// so again as far as this warp is concerned.
template <class S>
__device__ void release(uint64_t* empty) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (S::kCluster == 1) {
    if (lane == 0) barrier_arrive(empty);
  } else {
    const int rank = static_cast<int>(block_in_cluster());
    const bool shares =
        lane / S::kClusterN == rank / S::kClusterN || lane % S::kClusterN == rank % S::kClusterN;
    if (lane < S::kCluster && shares) barrier_arrive_at(empty, lane);
  }
}

// Where the operands of the first stage are, as the low words of their descriptors: stages lie a
// fixed number of 16-byte units apart, and no sum reaches the fields above the address.
struct Operands {
  uint32_t a, b;
};
template <class S>
__device__ Operands first_operands(const Shared<S>& shared, int first_row, int first_col) {
  return {matrix_descriptor_low(shared.a(0) + first_row * kRowBytes),
          matrix_descriptor_low(shared.b(0) + first_col * kRowBytes)};
}

template <class Operand, class S>
__device__ void multiply_stage(typename Operand::Sum (&sums)[S::kBlocks][S::kGroupCols / 2],
                               const Operands& first_stage, int stage, bool first) {
  const uint32_t a = first_stage.a + stage * (Shared<S>::kStageA / 16);
  const uint32_t b = first_stage.b + stage * (Shared<S>::kStageB / 16);
  products_begin();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int block = 0; block < S::kBlocks; ++block) {
      Wgmma<Operand, S::kGroupCols>::run(
          sums[block], matrix_descriptor(a + block * (64 * kRowBytes / 16) + 2 * i),
          matrix_descriptor(b + 2 * i), i > 0 || !first);
    }
  }
  products_commit();
}

// The products of one tile. first() runs once the first ones are on their way, last() once all are.
template <class Operand, class S, bool kAccurate, class Sums, class First, class Last>
__device__ void multiply(const Shared<S>& shared, const Operands& operands, int k_blocks,
                         Cursor<Shared<S>::kStages>& at, Sums& sums, const First& first,
                         const Last& last) {
  constexpr int kHalfSums = S::kGroupCols / 2;
  if constexpr (kAccurate) {
    first();
#pragma unroll
    for (int i = 0; i < S::kBlocks * kHalfSums; ++i) sums[i / kHalfSums][i % kHalfSums] = 0;
    for (int k = 0; k < k_blocks; ++k) {
      typename Operand::Sum part[S::kBlocks][kHalfSums];
      barrier_wait(shared.full(at.stage), at.parity);
      multiply_stage<Operand, S>(part, operands, at.stage, true);
      if (k + 1 == k_blocks) last();
      products_wait<0>();
      release<S>(shared.empty(at.stage));
#pragma unroll
      for (int i = 0; i < S::kBlocks * kHalfSums; ++i) {
        sums[i / kHalfSums][i % kHalfSums] += part[i / kHalfSums][i % kHalfSums];
      }
      at.advance();
    }
  } else {
    barrier_wait(shared.full(at.stage), at.parity);
    multiply_stage<Operand, S>(sums, operands, at.stage, true);
    first();
    int previous = at.stage;
    at.advance();
    bool ready = false;  // found out while products run
    for (int k = 1; k < k_blocks; ++k) {
      if (!ready) barrier_wait(shared.full(at.stage), at.parity);
      multiply_stage<Operand, S>(sums, operands, at.stage, false);
      const int done = previous;
      previous = at.stage;
      at.advance();
      ready = barrier_test(shared.full(at.stage), at.parity);
      products_wait<1>();
      release<S>(shared.empty(done));
    }
    last();
    products_wait<0>();
    release<S>(shared.empty(previous));
  }
}

// Turns of two warpgroups at the tensor cores: wait for one's own, end it. A turn begins when the
// other warpgroup has seen its last stage full: a barrier's parity tells a phase from the one
// before, not from the one before that.
constexpr int kFirstTurn = 3;  // the barriers' numbers
__device__ inline void wait_turn(int group) { sync_threads(kFirstTurn + group, 256); }
__device__ inline void end_turn(int group) { arrive_threads(kFirstTurn + 1 - group, 256); }

// A thread's columns of a tile on their way to shared memory.
template <class Out, int kGroupCols>
struct ColumnLoader {
  static constexpr int kEach = (kGroupCols + 127) / 128;
  float scale[kEach], bias[kEach], gate[kEach], out_scale = 1.0f;

  __device__ void load(const Epilogue& e, int col, int n, int gate_row, int thread) {
    if (OutInfo<Out>::kIsCodes && thread == 0) out_scale = *e.out_scale;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int c = col + thread + 128 * i;
      scale[i] = 1.0f, bias[i] = -0.0f, gate[i] = 1.0f;  // v + -0 is v
      if (c >= n || thread + 128 * i >= kGroupCols) continue;
      if (e.w_scale) scale[i] = e.w_scale[e.w_by_row ? c : 0];
      if (e.x_scale && !e.x_by_row) scale[i] = e.x_scale[0] * scale[i];
      if constexpr (!OutInfo<Out>::kIsCodes) {
        if (e.gate) gate[i] = load_one(static_cast<const Out*>(e.gate), int64_t{gate_row} * n + c);
      }
      if (!e.bias) continue;
      bias[i] = e.bias_bytes == 4 ? static_cast<const float*>(e.bias)[c]
                                  : __bfloat162float(static_cast<const __nv_bfloat16*>(e.bias)[c]);
    }
  }
  __device__ void put(Columns<kGroupCols>* to, int thread) const {
    if (thread == 0) to->out_scale = out_scale;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (thread + 128 * i >= kGroupCols) continue;
      to->scale[thread + 128 * i] = scale[i];
      to->bias[thread + 128 * i] = bias[i];
      to->gate[thread + 128 * i] = gate[i];
    }
  }
};

template <class Operand, class S, bool kAccurate, class Out>
__device__ void consume(const Group& problems, const Shared<S>& shared) {
  constexpr int kN = S::kN, kGroupCols = S::kGroupCols, kCluster = S::kCluster;
  const int thread = static_cast<int>(threadIdx.x) - kFirstConsumer;
  // Uniform in a warp, which the compiler knows of what comes from one lane.
  const int warp = __shfl_sync(0xffffffff, thread / 32, 0), group = warp / 4;
  const int first_row = S::kGroupRows < S::kM ? S::kGroupRows * group : 0;
  const int first_col = kGroupCols < kN ? kGroupCols * group : 0;
  const int rank = kCluster > 1 ? static_cast<int>(block_in_cluster()) : 0;
  const int clusters = static_cast<int>(gridDim.x) / kCluster;
  Columns<kGroupCols>* columns = shared.columns(group);
  WarpEpilogue<Operand, kGroupCols, S::kBlocks, Out, Shared<S>::kWarpBytes> epilogue(
      problems, shared.warp(warp));
  const Operands operands = first_operands<S>(shared, first_row, first_col);
  Cursor<Shared<S>::kStages> at;
  TileAt tile = {};
  int t = static_cast<int>(blockIdx.x) / kCluster;
  if (S::kTurns && group == 1) {
    at.advance(blocks_of_tile(problems, t, 0));
    t += clusters;
    end_turn(group);
  }
  for (; t < problems.tiles; t += S::kTurns ? 2 * clusters : clusters) {
    tile = find_tile(problems, t, tile.problem);
    const Problem& p = problems.problems[tile.problem];
    const int row = (tile.row * S::kClusterM + rank / S::kClusterN) * S::kM + first_row;
    const int col = (tile.col * S::kClusterN + rank % S::kClusterN) * kN + first_col;
    const int k_blocks = p.k_blocks;
    const Epilogue& e = p.epilogue;
    const int gate_row = e.gate ? min(row, p.m - 1) / e.rows_per_sample : 0;
    epilogue.begin(tile.problem, row + warp % 4 * kWarpRows, col);
    ColumnLoader<Out, kGroupCols> loader;
    loader.load(e, col, p.n, gate_row, thread % 128);
    if (S::kTurns) {
      sync_threads(1 + group, 128);  // nobody reads the last tile's columns any more
      loader.put(columns, thread % 128);
      wait_turn(group);
    } else {
      // Side by side: one that ran ahead would hold back the ring, whose stages both have to free.
      sync_threads(kFirstTurn, 256);
    }
    typename Operand::Sum sums[S::kBlocks][kGroupCols / 2];
    multiply<Operand, S, kAccurate>(
        shared, operands, k_blocks, at, sums,
        [&] {
          if (!S::kTurns) loader.put(columns, thread % 128);
        },
        [&] {
          if (S::kTurns) end_turn(group);
        });
    if (S::kTurns) at.advance(blocks_of_tile(problems, t + clusters, tile.problem));
    sync_threads(1 + group, 128);  // the columns are there
    epilogue.finish(sums, *columns, gate_row);
  }
  wait_stores();
}

template <class Operand, class S, bool kAccurate, class Out>
__global__ __cluster_dims__(S::kCluster) __launch_bounds__(kThreads, 1)  //
    void gemm_kernel(const __grid_constant__ Group group) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint8_t memory[];
  const Shared<S> shared{memory};
  if (threadIdx.x < group.count) {
    const Problem& p = group.problems[threadIdx.x];
    prefetch_map(&p.x), prefetch_map(&p.w), prefetch_map(&p.y);
    if (p.epilogue.residual) prefetch_map(&p.residual);
  }
  if (threadIdx.x == 0) {
    for (int i = 0; i < Shared<S>::kStages; ++i) {
      barrier_init(shared.full(i), 1);
      barrier_init(shared.empty(i), 4 * Shared<S>::kReaders * (S::kClusterM + S::kClusterN - 1));
    }
    for (int i = 0; i < 8 * kMostChunks; ++i) barrier_init(shared.warp(0).full + i, 1);
    barrier_init_fence();
  }
  if constexpr (S::kCluster > 1) {
    sync_cluster();
  } else {
    __syncthreads();
  }
  allow_next_launch();
  wait_for_earlier_launch();
  if (threadIdx.x < kFirstConsumer) {
    give_registers<kProducerRegisters>();
    if (threadIdx.x < 32 && elect_one()) produce<Operand, S>(group, shared);
    __syncwarp();
  } else {
    take_registers<kConsumerRegisters>();
    const int i = static_cast<int>(threadIdx.x) - kFirstConsumer;
    if (blockIdx.x == 0 && i < group.count) {
      const Epilogue& e = group.problems[i].epilogue;
      if (e.out_scale_copy) *e.out_scale_copy = *e.out_scale;
    }
    consume<Operand, S, kAccurate, Out>(group, shared);
  }
  // Nobody leaves while others may still arrive at its barriers.
  if constexpr (S::kCluster > 1) sync_cluster();
#endif
}

}  // namespace octavo::cuda::sm90
