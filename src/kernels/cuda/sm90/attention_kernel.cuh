#pragma once
// The device side of attention on sm_90a, after FlashAttention-3 (Shah et al. 2024): a producer
// warp copies tiles of k and v to shared memory; warp groups of 64 queries each multiply them with
// wgmma. While a group turns scores into weights, its own last product with v and the other groups'
// products run. The schedule cuts what does not fill a wave (attention_schedule.h); a second kernel
// merges the pieces.
#include <cmath>

#include "kernels/cuda/sm90/attention_elements.cuh"
#include "kernels/cuda/sm90/attention_schedule.h"
#include "kernels/cuda/sm90/ptx.cuh"
#include "kernels/cuda/sm90/tma.cuh"

namespace octavo::cuda::sm90 {

constexpr int kGroupThreads = 128, kGroupQueries = 64, kStages = 2;

// T: __nv_bfloat16, __half or E4m3; kDepth: 64 or 128, less is padded with zeros; kKeys: of a key
// tile; kTurns: whether warp groups take turns to issue their products.
template <class T_, int kDepth_, int kKeys_, int kGroups_, bool kTurns_>
struct AttentionTiles {
  using T = T_;
  using Elements = AttentionElements<T, kDepth_, kKeys_>;
  using Code = typename Elements::Code;
  using Out = typename Elements::Out;
  static constexpr int kDepth = kDepth_, kKeys = kKeys_, kGroups = kGroups_;
  static constexpr int kColumn = Elements::kColumn, kColumns = kDepth / kColumn;
  static constexpr int kQueries = kGroups * kGroupQueries;
  static constexpr int kThreads = (kGroups + 1) * kGroupThreads;
  static constexpr bool kTurns = kTurns_;

  struct Shared {
    alignas(1024) Code q[kColumns][kQueries][kColumn];
    alignas(1024) Code k[kStages][kColumns][kKeys][kColumn];
    alignas(1024) typename Elements::Values v[kStages];
    uint64_t q_full, q_empty;
    uint64_t k_full[kStages], k_empty[kStages], v_full[kStages], v_empty[kStages];
  };
};

struct AttentionProblem {
  CUtensorMap q = {}, k = {}, v = {};
  AttentionSchedule schedule;
  int first_sample = 0, samples = 0;
  int queries, query_tiles, heads, group_heads, keys, depth;
  float scale_log2;  // scale / ln 2: weights are powers of two
  // What codes are multiplied with to be values, one for all heads or (by_head) one a head;
  // nullptr: 1.
  const float *q_scale = nullptr, *k_scale = nullptr, *v_scale = nullptr;
  int by_head = 0;
  void* out;
  float* sums;    // [slot][group][depth / 8][128 threads][4]: partial, not divided
  float2* stats;  // [slot][queries of a tile]: origin in log2 units, sum of weights

  __device__ float score_scale(int head) const {
    if (!q_scale) return scale_log2;
    return scale_log2 * q_scale[by_head * head] * k_scale[by_head * (head / group_heads)];
  }
  __device__ float value_scale(int head) const {
    return v_scale ? v_scale[by_head * (head / group_heads)] : 1.0f;
  }
};

// A place in a ring of buffers, and the parity of its phase.
struct Cursor {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void advance() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

template <class Tiles>
__device__ void produce(typename Tiles::Shared& shared, const AttentionProblem& p) {
  using Elements = typename Tiles::Elements;
  AttentionPieces pieces(p.schedule, p.samples, static_cast<int>(blockIdx.x));
  AttentionPiece piece;
  Cursor k, v;
  uint32_t q_parity = 0;
  while (pieces.next(piece)) {
    const int sample = p.first_sample + piece.sample, head = piece.tile / p.query_tiles;
    const int query = piece.tile % p.query_tiles * Tiles::kQueries, key_head = head / p.group_heads;
    const int first = piece.first_key_tile, last = first + piece.key_tiles - 1;
    const auto load_k = [&](int tile) {
      uint64_t* full = &shared.k_full[k.stage];
      barrier_wait(&shared.k_empty[k.stage], k.parity ^ 1);
      barrier_expect(full, sizeof(shared.k[0]));
      for (int c = 0; c < Tiles::kColumns; ++c) {
        load_tile(shared.k[k.stage][c], &p.k, full, c * Tiles::kColumn, key_head,
                  tile * Tiles::kKeys, sample);
      }
      k.advance();
    };
    const auto load_v = [&](int tile) {
      uint64_t* full = &shared.v_full[v.stage];
      barrier_wait(&shared.v_empty[v.stage], v.parity ^ 1);
      barrier_expect(full, sizeof(shared.v[0]));
      for (int c = 0; c < Elements::kValueBoxes; ++c) {
        Elements::load_values(shared.v[v.stage], &p.v, full, c, key_head, tile * Tiles::kKeys,
                              sample);
      }
      v.advance();
    };
    barrier_wait(&shared.q_empty, q_parity ^ 1);
    barrier_expect(&shared.q_full, sizeof(shared.q));
    for (int c = 0; c < Tiles::kColumns; ++c) {
      load_tile(shared.q[c], &p.q, &shared.q_full, c * Tiles::kColumn, head, query, sample);
    }
    q_parity ^= 1;
    load_k(last);
    // From the last tile down: a tile with too few keys is then the first, outside of the loop.
    for (int tile = last - 1; tile >= first; --tile) {
      load_k(tile);
      load_v(tile + 1);
    }
    load_v(first);
  }
}

__device__ inline float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The two rows of a thread (sm90/attention_wgmma.cuh). Weights are 2^(scale (score - origin)); the
// origin is a score of the row that no other exceeds by more than kSlack powers of two: with some
// slack sums are hardly ever brought to another origin. kShift is added to all exponents.
template <float kSlack, float kShift>
struct AttentionRows {
  float origin[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};

  // Scores become weights. True where a row of the warp has got another origin: then what was
  // summed so far is to be multiplied by `shrink`.
  template <int kCount>
  __device__ bool weigh(float (&scores)[kCount], float scale, float (&shrink)[2]) {
    float top[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      top[r] = fmaxf(scores[2 * r], scores[2 * r + 1]);
#pragma unroll
      for (int i = 4; i < kCount; i += 4) {
        top[r] = fmaxf(top[r], fmaxf(scores[i + 2 * r], scores[i + 2 * r + 1]));
      }
      top[r] = fmaxf(top[r], __shfl_xor_sync(~0u, top[r], 1));
      top[r] = fmaxf(top[r], __shfl_xor_sync(~0u, top[r], 2));
    }
    const bool stays =
        (top[0] - origin[0]) * scale <= kSlack && (top[1] - origin[1]) * scale <= kSlack;
    const bool moves = !__all_sync(~0u, stays);
    if (moves) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float before = origin[r];
        origin[r] = fmaxf(before, top[r]);
        shrink[r] = origin[r] == -INFINITY ? 1.0f : power_of_two((before - origin[r]) * scale);
        total[r] *= shrink[r];
      }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float zero = origin[r] == -INFINITY ? 0.0f : fmaf(origin[r], scale, -kShift);
      float even = 0, odd = 0;
#pragma unroll
      for (int i = 0; i < kCount; i += 4) {
        float &a = scores[i + 2 * r], &b = scores[i + 2 * r + 1];
        a = power_of_two(fmaf(a, scale, -zero));
        b = power_of_two(fmaf(b, scale, -zero));
        even += a;
        odd += b;
      }
      total[r] += even + odd;
    }
    return moves;
  }

  __device__ void add_up() {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      total[r] += __shfl_xor_sync(~0u, total[r], 1);
      total[r] += __shfl_xor_sync(~0u, total[r], 2);
    }
  }
};

// Rounds the sums of one query to T; `lane` is the thread's place among the four of a row.
template <class T, int kCount>
__device__ void store_row(T* row, const float (&sums)[kCount], int r, float factor, int lane,
                          int depth) {
#pragma unroll
  for (int i = 0; i < kCount / 4; ++i) {
    const int column = i * 8 + lane * 2;
    const uint32_t pair = pack16<T>(sums[i * 4 + 2 * r] * factor, sums[i * 4 + 2 * r + 1] * factor);
    if (column < depth) *reinterpret_cast<uint32_t*>(row + column) = pair;
  }
}

// Where a thread's rows are in the output, or nullptr past the last query.
template <class T>
__device__ T* output_row(const AttentionProblem& p, int sample, int tile, int tile_queries,
                         int row) {
  const int query = tile % p.query_tiles * tile_queries + row, head = tile / p.query_tiles;
  if (query >= p.queries) return nullptr;
  const int64_t at = (int64_t{p.first_sample + sample} * p.queries + query) * p.heads + head;
  return static_cast<T*>(p.out) + at * p.depth;
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <class Tiles>
struct AttentionConsumer {
  using Elements = typename Tiles::Elements;
  static constexpr int kDepth = Tiles::kDepth, kKeys = Tiles::kKeys, kGroups = Tiles::kGroups;
  using Rows = AttentionRows<Elements::kSlack, Elements::kShift>;

  typename Tiles::Shared& shared;
  const AttentionProblem& p;
  const int group, thread, warp_row;  // warp_row: this thread's first row of the tile
  Cursor k_at = {}, v_at = {};
  uint32_t q_parity = 0;

  float sums[kDepth / 2];
  uint32_t weights[Elements::kWords];

  __device__ void release(uint64_t* barrier) {
    if (thread % 32 == 0) barrier_arrive(barrier);
  }

  __device__ void start_scores(float (&scores)[kKeys / 2]) {
    constexpr int kBytes = sizeof(typename Tiles::Code), kStep = 32 / kBytes;
    const uint32_t q = shared_address(&shared.q[0][group * kGroupQueries][0]);
    const uint32_t k = shared_address(&shared.k[k_at.stage][0][0][0]);
#pragma unroll
    for (int d = 0; d < kDepth; d += kStep) {
      const uint32_t column = d / Tiles::kColumn, inside = d % Tiles::kColumn * kBytes;
      Elements::multiply_keys(scores, q + column * sizeof(shared.q[0]) + inside,
                              k + column * sizeof(shared.k[0][0]) + inside, d > 0);
    }
    products_commit();
  }

  __device__ void start_values() {
    Elements::multiply_values(sums, weights, shared.v[v_at.stage]);
    products_commit();
  }

  // Keys that do not exist have no weight.
  __device__ void mask(float (&scores)[kKeys / 2], int key_tile) {
    const int keys = p.keys - key_tile * kKeys - thread % 4 * 2;
    if (p.keys >= (key_tile + 1) * kKeys) return;
#pragma unroll
    for (int i = 0; i < kKeys / 2; ++i) {
      if (i / 4 * 8 + i % 2 >= keys) scores[i] = -INFINITY;
    }
  }

  // If there are `any`. Totals are never negative; that the wait looks at them keeps ptxas from
  // moving the weights behind it, and with them behind the wait for the product with v that they
  // are to overlap with.
  __device__ void wait_for_keys(bool any, const Rows& rows) {
    const uint32_t never = rows.total[0] + rows.total[1] < 0;
    if (any) barrier_wait(&shared.k_full[k_at.stage], k_at.parity ^ never);
  }

  __device__ void my_turn() {
    if (Tiles::kTurns) sync_threads(1 + group, 2 * kGroupThreads);
  }
  __device__ void next_turn() {
    if (Tiles::kTurns) arrive_threads(1 + (group + 1) % kGroups, 2 * kGroupThreads);
  }

  __device__ void run(const AttentionPiece& piece) {
    const float scale = p.score_scale(piece.tile / p.query_tiles);
    Rows rows;
    float scores[kKeys / 2], shrink[2];
#pragma unroll
    for (float& sum : sums) sum = 0;
    barrier_wait(&shared.q_full, q_parity);
    q_parity ^= 1;
    barrier_wait(&shared.k_full[k_at.stage], k_at.parity);
    products_begin();
    start_scores(scores);
    products_wait<0>();
    pin(scores);
    release(&shared.k_empty[k_at.stage]);
    k_at.advance();
    mask(scores, piece.first_key_tile + piece.key_tiles - 1);
    rows.weigh(scores, scale, shrink);  // nothing to shrink yet
    Elements::round(scores, weights);
    wait_for_keys(piece.key_tiles > 1, rows);
    for (int i = 1; i < piece.key_tiles; ++i) {
      my_turn();
      products_begin();
      start_scores(scores);
      barrier_wait(&shared.v_full[v_at.stage], v_at.parity);
      start_values();
      next_turn();
      products_wait<1>();
      pin(scores);
      release(&shared.k_empty[k_at.stage]);
      k_at.advance();
      const bool moved = rows.weigh(scores, scale, shrink);
      pin(scores);
      wait_for_keys(i + 1 < piece.key_tiles, rows);
      products_wait<0>();
      pin(sums);
      release(&shared.v_empty[v_at.stage]);
      v_at.advance();
      pin(scores);
      Elements::round(scores, weights);
      if (moved) {
#pragma unroll
        for (int j = 0; j < kDepth / 2; ++j) sums[j] *= shrink[j / 2 % 2];
      }
    }
    release(&shared.q_empty);
    barrier_wait(&shared.v_full[v_at.stage], v_at.parity);
    products_begin();
    start_values();
    rows.add_up();
    products_wait<0>();
    pin(sums);
    release(&shared.v_empty[v_at.stage]);
    v_at.advance();
    if (piece.slot < 0) {
      store(piece, rows);
    } else {
      keep(piece, rows, scale);
    }
  }

  __device__ void store(const AttentionPiece& piece, const Rows& rows) {
    using Out = typename Tiles::Out;
    const float factor = p.value_scale(piece.tile / p.query_tiles);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      Out* row = output_row<Out>(p, piece.sample, piece.tile, Tiles::kQueries, warp_row + 8 * r);
      if (row) store_row(row, sums, r, factor / rows.total[r], thread % 4, p.depth);
    }
  }

  __device__ void keep(const AttentionPiece& piece, const Rows& rows, float scale) {
    float4* to = reinterpret_cast<float4*>(p.sums) +
                 (int64_t{piece.slot} * kGroups + group) * (kDepth / 8) * kGroupThreads + thread;
#pragma unroll
    for (int i = 0; i < kDepth / 8; ++i) {
      to[i * kGroupThreads] =
          make_float4(sums[i * 4], sums[i * 4 + 1], sums[i * 4 + 2], sums[i * 4 + 3]);
    }
    if (thread % 4 != 0) return;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      p.stats[int64_t{piece.slot} * Tiles::kQueries + warp_row + 8 * r] =
          make_float2(rows.origin[r] * scale, rows.total[r]);
    }
  }
};

#endif

template <class Tiles>
__global__ __launch_bounds__(Tiles::kThreads,
                             1) void attention_kernel(const __grid_constant__ AttentionProblem p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int kProducerRegisters = Tiles::kGroups == 2 ? 24 : 32;
  constexpr int kConsumerRegisters = Tiles::kGroups == 2 ? 240 : 160;
  extern __shared__ __align__(1024) unsigned char memory[];
  auto& shared = *reinterpret_cast<typename Tiles::Shared*>(memory);
  const int warp_group = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (threadIdx.x == 0) {
    constexpr int kReleases = Tiles::kGroups * kGroupThreads / 32;
    barrier_init(&shared.q_full, 1);
    barrier_init(&shared.q_empty, kReleases);
    for (int i = 0; i < kStages; ++i) {
      barrier_init(&shared.k_full[i], 1);
      barrier_init(&shared.v_full[i], 1);
      barrier_init(&shared.k_empty[i], kReleases);
      barrier_init(&shared.v_empty[i], kReleases);
    }
    barrier_init_fence();
  }
  __syncthreads();
  allow_next_launch();
  if (warp_group == 0) {
    give_registers<kProducerRegisters>();
    if (threadIdx.x == 0) produce<Tiles>(shared, p);
  } else {
    take_registers<kConsumerRegisters>();
    const int group = warp_group - 1, thread = static_cast<int>(threadIdx.x) % kGroupThreads;
    const int row = group * kGroupQueries + thread / 32 * 16 + thread % 32 / 4;
    AttentionConsumer<Tiles> consumer{shared, p, group, thread, row};
    AttentionPieces pieces(p.schedule, p.samples, static_cast<int>(blockIdx.x));
    AttentionPiece piece;
    if (group == Tiles::kGroups - 1) consumer.next_turn();
    while (pieces.next(piece)) consumer.run(piece);
    if (group == 0) consumer.my_turn();  // takes back the turn that was given first
  }
#endif
}

constexpr int kMergeParts = 4;  // blocks that share a warp group's columns

// A part of one warp group's share of one cut tile a block: sums of the pieces, each brought to the
// largest origin, in the order of the keys. Launched before the pieces are complete.
template <class Tiles>
__global__ __launch_bounds__(kGroupThreads) void merge_attention_kernel(
    const __grid_constant__ AttentionProblem p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Out = typename Tiles::Out;
  constexpr int kBlocks = Tiles::kDepth / 8 / kMergeParts;  // of 8 columns
  const AttentionSchedule& s = p.schedule;
  const int part = static_cast<int>(blockIdx.x) % kMergeParts;
  const int group = static_cast<int>(blockIdx.x) / kMergeParts % Tiles::kGroups;
  const int cut = static_cast<int>(blockIdx.x) / kMergeParts / Tiles::kGroups;
  const int sample = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x);
  const int64_t from = int64_t{cut} * s.key_tiles;
  const int first = s.range_of(from), last = s.range_of(from + s.key_tiles - 1);
  wait_for_earlier_launch();
  if (first == last) return;  // it was whole
  const int row = group * kGroupQueries + thread / 32 * 16 + thread % 32 / 4;
  const auto slot_of = [&](int range) {
    return int64_t{sample} * s.slots() + 2 * range + (s.begin(range) < from ? 1 : 0);
  };
  float sums[4 * kBlocks] = {}, origin[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
  for (int range = first; range <= last; ++range) {
    for (int r = 0; r < 2; ++r) {
      origin[r] = fmaxf(origin[r], p.stats[slot_of(range) * Tiles::kQueries + row + 8 * r].x);
    }
  }
  for (int range = first; range <= last; ++range) {
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float2 stat = p.stats[slot_of(range) * Tiles::kQueries + row + 8 * r];
      factor[r] = exp2f(stat.x - origin[r]);
      total[r] = fmaf(stat.y, factor[r], total[r]);
    }
    const float4* piece =
        reinterpret_cast<const float4*>(p.sums) +
        ((slot_of(range) * Tiles::kGroups + group) * (Tiles::kDepth / 8) + part * kBlocks) *
            kGroupThreads +
        thread;
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) {
      const float4 v = piece[i * kGroupThreads];
      sums[i * 4] = fmaf(v.x, factor[0], sums[i * 4]);
      sums[i * 4 + 1] = fmaf(v.y, factor[0], sums[i * 4 + 1]);
      sums[i * 4 + 2] = fmaf(v.z, factor[1], sums[i * 4 + 2]);
      sums[i * 4 + 3] = fmaf(v.w, factor[1], sums[i * 4 + 3]);
    }
  }
  const int tile = s.whole + cut, columns = part * kBlocks * 8;
  const float factor = p.value_scale(tile / p.query_tiles);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    Out* out = output_row<Out>(p, sample, tile, Tiles::kQueries, row + 8 * r);
    if (out) {
      store_row(out + columns, sums, r, factor / total[r], thread % 4, p.depth - columns);
    }
  }
#endif
}

}  // namespace octavo::cuda::sm90
