#pragma once
// The product of gemm.h. A block of three warpgroups stays on its multiprocessor and takes tiles of
// kM x kN: one warp feeds a ring of shared-memory stages (128 bytes of K each) through the copy
// engine, two warpgroups multiply. Either they take turns (kTurns), a tile each, so that the
// epilogue of one runs under the products of the other; or they share a tile, 64 rows each, which
// leaves room for wider ones. Blocks of a cluster work on tiles below each other and fetch the
// common tile of w once, a part each.
#include "kernels/cuda/sm90/epilogue.cuh"
#include "kernels/cuda/sm90/instance.h"

namespace octavo::cuda::sm90 {

constexpr int kFirstConsumer = 128;
constexpr int kProducerRegisters = 24, kConsumerRegisters = 240;
constexpr int kSharedBytes = 227 * 1024;

__device__ inline int tile_count(const TileOrder& order) { return order.rows * order.cols; }
__device__ inline void find_tile(const TileOrder& order, int index, int* row, int* col) {
  const int band = index / (order.group * order.cols), first = band * order.group;
  const int height = min(order.rows - first, order.group), within = index - first * order.cols;
  *row = first + within % height;
  *col = within / height;
}

// The shape of a variant. A warpgroup multiplies kBlocks blocks of 64 rows of its tile.
template <int kTileM, int kTileN, int kClusterBlocks, bool kInTurns>
struct Shape {
  static constexpr int kM = kTileM, kN = kTileN, kCluster = kClusterBlocks;
  static constexpr bool kTurns = kInTurns;
  static constexpr int kBlocks = kM / (kTurns ? 64 : 128);
};

template <class S>
struct Shared {
  static constexpr int kN = S::kN;
  static constexpr int kReaders = S::kTurns ? 1 : 2;  // warpgroups that multiply a stage
  static constexpr int kStageA = S::kM * kRowBytes, kStageB = kN * kRowBytes;
  static constexpr int kStaging = 8 * kWarpStaging;
  static constexpr int kFixed = kStaging + 2 * static_cast<int>(sizeof(Columns<kN>)) + 512;
  static constexpr int kMost = (kSharedBytes - kFixed) / (kStageA + kStageB);
  static constexpr int kStages = kMost < 10 ? kMost : 10;
  static constexpr int kBytes = kStages * (kStageA + kStageB) + kFixed;

  uint8_t* base;  // aligned to 1024
  __device__ uint8_t* a(int stage) const { return base + stage * kStageA; }
  __device__ uint8_t* b(int stage) const { return base + kStages * kStageA + stage * kStageB; }
  __device__ uint8_t* staging(int warp) const {
    return base + kStages * (kStageA + kStageB) + warp * kWarpStaging;
  }
  __device__ Columns<kN>* columns(int warpgroup) const {
    return reinterpret_cast<Columns<kN>*>(staging(8)) + warpgroup;
  }
  __device__ uint64_t* full(int stage) const {
    return reinterpret_cast<uint64_t*>(columns(2)) + stage;
  }
  __device__ uint64_t* empty(int stage) const { return full(kStages) + stage; }
};

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

template <class Operand, class S>
__device__ void produce(const CUtensorMap& x, const CUtensorMap& w, const Extents& extents,
                        const Shared<S>& shared) {
  constexpr int kCols = kRowBytes / Operand::kBytes, kCluster = S::kCluster;
  constexpr int kPart = S::kN / kCluster;
  const int rank = kCluster > 1 ? static_cast<int>(block_in_cluster()) : 0;
  const int clusters = static_cast<int>(gridDim.x) / kCluster;
  Cursor<Shared<S>::kStages> at;
  for (int t = static_cast<int>(blockIdx.x) / kCluster; t < tile_count(extents.order);
       t += clusters) {
    int row, col;
    find_tile(extents.order, t, &row, &col);
    row = (row * kCluster + rank) * S::kM, col = col * S::kN + rank * kPart;
    for (int k = 0; k < extents.k_blocks; ++k) {
      uint64_t* full = shared.full(at.stage);
      barrier_wait(shared.empty(at.stage), at.parity ^ 1);
      barrier_expect(full, Shared<S>::kStageA + Shared<S>::kStageB);
      load_box(shared.a(at.stage), &x, full, k * kCols, row);
      uint8_t* b = shared.b(at.stage) + rank * kPart * kRowBytes;
      if constexpr (kCluster > 1) {
        load_box_multicast(b, &w, full, k * kCols, col, (1 << kCluster) - 1);
      } else {
        load_box(b, &w, full, k * kCols, col);
      }
      at.advance();
    }
  }
}

// The blocks whose copies fill this stage may do so again, as far as this warp is concerned.
template <int kCluster>
__device__ void release(uint64_t* empty) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (kCluster == 1) {
    if (lane == 0) barrier_arrive(empty);
  } else {
    if (lane < kCluster) barrier_arrive_at(empty, lane);
  }
}

template <class Operand, int kN, int kBlocks>
__device__ void multiply_stage(typename Operand::Sum (&sums)[kBlocks][kN / 2], const uint8_t* a,
                               const uint8_t* b, bool first) {
  const uint64_t a_at = matrix_descriptor(a), b_at = matrix_descriptor(b);
  products_begin();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      Wgmma<Operand, kN>::run(sums[block], a_at + block * (64 * kRowBytes / 16) + 2 * i,
                              b_at + 2 * i, i > 0 || !first);
    }
  }
  products_commit();
}

// The products of one tile, rows from first_row on. last() runs once the last ones are on their
// way.
template <class Operand, class S, bool kAccurate, class Sums, class Last>
__device__ void multiply(const Shared<S>& shared, int first_row, int k_blocks,
                         Cursor<Shared<S>::kStages>& at, Sums& sums, const Last& last) {
  constexpr int kHalfSums = S::kN / 2;
  if constexpr (kAccurate) {
    for (int k = 0; k < k_blocks; ++k) {
      typename Operand::Sum part[S::kBlocks][kHalfSums];
      barrier_wait(shared.full(at.stage), at.parity);
      multiply_stage<Operand, S::kN, S::kBlocks>(part, shared.a(at.stage) + first_row * kRowBytes,
                                                 shared.b(at.stage), true);
      if (k + 1 == k_blocks) last();
      products_wait<0>();
      release<S::kCluster>(shared.empty(at.stage));
#pragma unroll
      for (int i = 0; i < S::kBlocks * kHalfSums; ++i) {
        auto& sum = sums[i / kHalfSums][i % kHalfSums];
        const auto more = part[i / kHalfSums][i % kHalfSums];
        sum = k == 0 ? more : sum + more;
      }
      at.advance();
    }
  } else {
    int previous = -1;
    for (int k = 0; k < k_blocks; ++k) {
      barrier_wait(shared.full(at.stage), at.parity);
      multiply_stage<Operand, S::kN, S::kBlocks>(sums, shared.a(at.stage) + first_row * kRowBytes,
                                                 shared.b(at.stage), k == 0);
      products_wait<1>();
      if (previous >= 0) release<S::kCluster>(shared.empty(previous));
      previous = at.stage;
      at.advance();
    }
    last();
    products_wait<0>();
    release<S::kCluster>(shared.empty(previous));
  }
}

// Turns of two warpgroups at the tensor cores: wait for one's own, end it. A turn begins when the
// other warpgroup has seen its last stage full: a barrier's parity tells a phase from the one
// before, not from the one before that.
constexpr int kFirstTurn = 3;  // the barriers' numbers
__device__ inline void wait_turn(int group) { sync_threads(kFirstTurn + group, 256); }
__device__ inline void end_turn(int group) { arrive_threads(kFirstTurn + 1 - group, 256); }

// A thread's columns of a tile, fetched before the products and put in place after them.
template <class Operand, int kN>
struct ColumnLoader {
  static constexpr int kEach = (kN + 127) / 128;
  float scale[kEach], bias[kEach];

  __device__ void load(const Epilogue& e, int col, int n, int thread) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int c = col + thread + 128 * i;
      scale[i] = 1.0f, bias[i] = -0.0f;  // v + -0 is v
      if (c >= n || thread + 128 * i >= kN) continue;
      if (e.w_scale) scale[i] = e.w_scale[e.w_by_row ? c : 0];
      if (e.x_scale && !e.x_by_row) scale[i] = e.x_scale[0] * scale[i];
      if (!e.bias) continue;
      bias[i] = e.bias_bytes == 4 ? static_cast<const float*>(e.bias)[c]
                                  : __bfloat162float(static_cast<const __nv_bfloat16*>(e.bias)[c]);
    }
  }
  __device__ void put(Columns<kN>* to, int thread) const {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (thread + 128 * i >= kN) continue;
      to->scale[thread + 128 * i] = scale[i];
      to->bias[thread + 128 * i] = bias[i];
    }
  }
};

template <class Operand, class S, bool kAccurate, class Out>
__device__ void consume(const CUtensorMap& y, const Extents& extents, const Epilogue& e,
                        const Shared<S>& shared) {
  constexpr int kN = S::kN, kCluster = S::kCluster;
  const int thread = static_cast<int>(threadIdx.x) - kFirstConsumer;
  const int group = thread / 128, warp = thread / 32;
  const int first_row = S::kTurns ? 0 : 64 * group;
  const int rank = kCluster > 1 ? static_cast<int>(block_in_cluster()) : 0;
  const int clusters = static_cast<int>(gridDim.x) / kCluster;
  Columns<kN>* columns = shared.columns(group);
  WarpEpilogue<Operand, kN, S::kBlocks, Out> epilogue(e, &y, extents.m, extents.n,
                                                      shared.staging(warp));
  Cursor<Shared<S>::kStages> at;
  int t = static_cast<int>(blockIdx.x) / kCluster;
  if (S::kTurns && group == 1) {
    t += clusters, at.advance(extents.k_blocks);
    end_turn(group);
  }
  for (; t < tile_count(extents.order); t += S::kTurns ? 2 * clusters : clusters) {
    int row, col;
    find_tile(extents.order, t, &row, &col);
    row = (row * kCluster + rank) * S::kM + first_row + warp % 4 * kWarpRows, col *= kN;
    ColumnLoader<Operand, kN> loader;
    loader.load(e, col, extents.n, thread % 128);
    epilogue.begin(row, col);
    if (S::kTurns) wait_turn(group);
    typename Operand::Sum sums[S::kBlocks][kN / 2];
    multiply<Operand, S, kAccurate>(shared, first_row, extents.k_blocks, at, sums, [&] {
      if (S::kTurns) end_turn(group);
    });
    if (S::kTurns) at.advance(extents.k_blocks);
    sync_threads(1 + group, 128);  // nobody reads the last tile's columns any more
    loader.put(columns, thread % 128);
    sync_threads(1 + group, 128);
    epilogue.finish(sums, *columns);
  }
  wait_stores();
}

template <class Operand, class S, bool kAccurate, class Out>
__global__ __cluster_dims__(S::kCluster)
    __launch_bounds__(kThreads, 1) void gemm_kernel(const __grid_constant__ CUtensorMap x,
                                                    const __grid_constant__ CUtensorMap w,
                                                    const __grid_constant__ CUtensorMap y,
                                                    const __grid_constant__ Extents extents,
                                                    const __grid_constant__ Epilogue e) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint8_t memory[];
  const Shared<S> shared{memory};
  if (threadIdx.x == 0) {
    prefetch_map(&x), prefetch_map(&w), prefetch_map(&y);
    for (int i = 0; i < Shared<S>::kStages; ++i) {
      barrier_init(shared.full(i), 1);
      barrier_init(shared.empty(i), 4 * Shared<S>::kReaders * S::kCluster);
    }
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
    if (threadIdx.x < 32 && elect_one()) produce<Operand, S>(x, w, extents, shared);
    __syncwarp();
  } else {
    take_registers<kConsumerRegisters>();
    if (e.out_scale_copy && blockIdx.x == 0 && threadIdx.x == kFirstConsumer) {
      *e.out_scale_copy = *e.out_scale;
    }
    consume<Operand, S, kAccurate, Out>(y, extents, e, shared);
  }
  // Nobody leaves while others may still arrive at its barriers.
  if constexpr (S::kCluster > 1) sync_cluster();
#endif
}

}  // namespace octavo::cuda::sm90
