// attention without bias for 16-bit types on Hopper, after FlashAttention-3 (Shah et al. 2024): a
// producer warp copies tiles of k and v to shared memory; warp groups of 64 queries each multiply
// them with wgmma. While a group turns scores into weights, its own last product with v and the
// other groups' products run; groups take turns to issue theirs. The schedule cuts what does not
// fill a wave (sm90/attention_schedule.h); a second kernel merges the pieces.
#include <cmath>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/mma16.cuh"
#include "kernels/cuda/sm90/attention_schedule.h"
#include "kernels/cuda/sm90/attention_wgmma.cuh"
#include "kernels/cuda/sm90/ptx.cuh"
#include "kernels/cuda/sm90/tma.cuh"
#include "kernels/cuda/table.h"

#ifndef ATT_SLACK
#define ATT_SLACK 8.0f
#endif
#ifndef ATT_POLY
#define ATT_POLY 0
#endif
#define ATT_POLY1 (ATT_POLY > 0 ? ATT_POLY : 1)
#ifndef ATT_TURNS
#define ATT_TURNS 1
#endif
#ifndef ATT_KEYS
#define ATT_KEYS 0
#endif
namespace octavo::cuda {
namespace {

using namespace sm90;

constexpr int kGroupThreads = 128, kGroupQueries = 64, kColumn = 64, kStages = 2;
constexpr int kMostSamples = 4;  // of one launch, where tiles are cut: bounds the workspace

// kDepth: 64 or 128, less is padded with zeros; kKeys: of a key tile.
template <class T, int kDepth, int kKeys, int kGroups>
struct Shared {
  static constexpr int kQueries = kGroups * kGroupQueries, kColumns = kDepth / kColumn;
  alignas(1024) T q[kColumns][kQueries][kColumn];
  alignas(1024) T k[kStages][kColumns][kKeys][kColumn];
  alignas(1024) T v[kStages][kColumns][kKeys][kColumn];
  uint64_t q_full, q_empty;
  uint64_t k_full[kStages], k_empty[kStages], v_full[kStages], v_empty[kStages];
};

struct Problem {
  CUtensorMap q = {}, k = {}, v = {};
  AttentionSchedule schedule;
  int first_sample = 0, samples = 0;
  int queries, query_tiles, heads, group_heads, keys, depth;
  float scale_log2;  // scale / ln 2: weights are powers of two
  void* out;
  float* sums;    // [slot][group][depth / 8][128 threads][4]: partial, not divided
  float2* stats;  // [slot][queries of a tile]: origin in log2 units, sum of weights
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

template <class S>
__device__ void produce(S& shared, const Problem& p) {
  AttentionPieces pieces(p.schedule, p.samples, static_cast<int>(blockIdx.x));
  AttentionPiece piece;
  Cursor k, v;
  uint32_t q_parity = 0;
  const auto load = [&](auto& tiles, uint64_t* full, uint64_t* empty, Cursor& at,
                        const CUtensorMap* map, int head, int key, int sample) {
    barrier_wait(&empty[at.stage], at.parity ^ 1);
    barrier_expect(&full[at.stage], sizeof(tiles[0]));
    for (int c = 0; c < S::kColumns; ++c) {
      load_tile(tiles[at.stage][c], map, &full[at.stage], c * kColumn, head, key, sample);
    }
    at.advance();
  };
  while (pieces.next(piece)) {
    const int sample = p.first_sample + piece.sample, head = piece.tile / p.query_tiles;
    const int query = piece.tile % p.query_tiles * S::kQueries, key_head = head / p.group_heads;
    constexpr int kKeys = sizeof(shared.k[0][0]) / sizeof(shared.k[0][0][0]);
    const int first = piece.first_key_tile, last = first + piece.key_tiles - 1;
    const auto load_k = [&](int tile) {
      load(shared.k, shared.k_full, shared.k_empty, k, &p.k, key_head, tile * kKeys, sample);
    };
    const auto load_v = [&](int tile) {
      load(shared.v, shared.v_full, shared.v_empty, v, &p.v, key_head, tile * kKeys, sample);
    };
    barrier_wait(&shared.q_empty, q_parity ^ 1);
    barrier_expect(&shared.q_full, sizeof(shared.q));
    for (int c = 0; c < S::kColumns; ++c) {
      load_tile(shared.q[c], &p.q, &shared.q_full, c * kColumn, head, query, sample);
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

// Of x <= 8, on the pipes that multiply: those of the special functions are the bottleneck where
// heads are short. Within 1.0e-4 of the value, which is less than a 16-bit weight's rounding.
__device__ inline float power_of_two_by_products(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 2^23: adding it rounds to an integer
  x = fmaxf(x, -126.0f);
  const float shifted = x + kRound, f = x - (shifted - kRound);
  const float p = fmaf(fmaf(fmaf(0.05550410866f, f, 0.2402265070f), f, 0.6931471806f), f, 1.0f);
  return __int_as_float(__float_as_int(p) + (__float_as_int(shifted) << 23));
}

// The two rows of a thread (sm90/attention_wgmma.cuh). Weights are 2^(scale (score - origin)); the
// origin is a score of the row that no other exceeds by more than kSlack powers of two.
struct Rows {
  static constexpr float kSlack = ATT_SLACK;
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
      const float zero = origin[r] == -INFINITY ? 0.0f : origin[r] * scale;
      float even = 0, odd = 0;
#pragma unroll
      for (int i = 0; i < kCount; i += 4) {
        float &a = scores[i + 2 * r], &b = scores[i + 2 * r + 1];
        a = power_of_two(fmaf(a, scale, -zero));
        const float x = fmaf(b, scale, -zero);
        b = ATT_POLY > 0 && i / 4 % ATT_POLY1 == 0 ? power_of_two_by_products(x) : power_of_two(x);
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
__device__ T* output_row(const Problem& p, int sample, int tile, int tile_queries, int row) {
  const int query = tile % p.query_tiles * tile_queries + row, head = tile / p.query_tiles;
  if (query >= p.queries) return nullptr;
  const int64_t at = (int64_t{p.first_sample + sample} * p.queries + query) * p.heads + head;
  return static_cast<T*>(p.out) + at * p.depth;
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <class T, int kDepth, int kKeys, int kGroups>
struct Consumer {
  using S = Shared<T, kDepth, kKeys, kGroups>;
  S& shared;
  const Problem& p;
  const int group, thread, warp_row;  // warp_row: this thread's first row of the tile
  Cursor k_at = {}, v_at = {};
  uint32_t q_parity = 0;

  float sums[kDepth / 2];
  uint32_t weights[kKeys / 4];

  __device__ void release(uint64_t* barrier) {
    if (thread % 32 == 0) barrier_arrive(barrier);
  }

  __device__ void start_scores(float (&scores)[kKeys / 2]) {
    const uint32_t q = shared_address(&shared.q[0][group * kGroupQueries][0]);
    const uint32_t k = shared_address(&shared.k[k_at.stage][0][0][0]);
#pragma unroll
    for (int d = 0; d < kDepth; d += 16) {
      const uint32_t column = d / kColumn, inside = d % kColumn * sizeof(T);
      ScoresProduct<T, kKeys>::run(
          scores, swizzled_operand(q + column * sizeof(shared.q[0]) + inside, 16),
          swizzled_operand(k + column * sizeof(shared.k[0][0]) + inside, 16), d > 0);
    }
    products_commit();
  }

  __device__ void start_values() {
    const uint32_t v = shared_address(&shared.v[v_at.stage][0][0][0]);
#pragma unroll
    for (int key = 0; key < kKeys; key += 16) {
      ValuesProduct<T, kDepth>::run(
          sums, weights + key / 4,
          swizzled_operand(v + key * kColumn * sizeof(T), sizeof(shared.v[0][0])));
    }
    products_commit();
  }

  __device__ void pack_weights(const float (&scores)[kKeys / 2]) {
#pragma unroll
    for (int i = 0; i < kKeys / 4; ++i) weights[i] = pack16<T>(scores[2 * i], scores[2 * i + 1]);
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

  __device__ void wait_for_keys(bool any) {
    if (any) barrier_wait(&shared.k_full[k_at.stage], k_at.parity);
  }

  __device__ void my_turn() {
    if (ATT_TURNS) sync_threads(1 + group, 2 * kGroupThreads);
  }
  __device__ void next_turn() {
    if (ATT_TURNS) arrive_threads(1 + (group + 1) % kGroups, 2 * kGroupThreads);
  }

  __device__ void run(const AttentionPiece& piece) {
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
    rows.weigh(scores, p.scale_log2, shrink);  // nothing to shrink yet
    pack_weights(scores);
    wait_for_keys(piece.key_tiles > 1);
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
      const bool moved = rows.weigh(scores, p.scale_log2, shrink);
      pin(scores);
      // Here, not at the top: ptxas moves the next wait up to where the flow of control last split,
      // which must not be before the weights.
      wait_for_keys(i + 1 < piece.key_tiles);
      products_wait<0>();
      pin(sums);
      release(&shared.v_empty[v_at.stage]);
      v_at.advance();
      pin(scores);
      pack_weights(scores);
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
      keep(piece, rows);
    }
  }

  __device__ void store(const AttentionPiece& piece, const Rows& rows) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      T* row = output_row<T>(p, piece.sample, piece.tile, S::kQueries, warp_row + 8 * r);
      if (row) store_row(row, sums, r, 1.0f / rows.total[r], thread % 4, p.depth);
    }
  }

  __device__ void keep(const AttentionPiece& piece, const Rows& rows) {
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
      p.stats[int64_t{piece.slot} * S::kQueries + warp_row + 8 * r] =
          make_float2(rows.origin[r] * p.scale_log2, rows.total[r]);
    }
  }
};

#endif

template <int kGroups>
constexpr int kConsumerRegisters = kGroups == 2 ? 240 : 160;
template <int kGroups>
constexpr int kProducerRegisters = kGroups == 2 ? 24 : 32;

template <class T, int kDepth, int kKeys, int kGroups>
__global__ __launch_bounds__((kGroups + 1) * kGroupThreads,
                             1) void attention_kernel(const __grid_constant__ Problem p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) unsigned char memory[];
  auto& shared = *reinterpret_cast<Shared<T, kDepth, kKeys, kGroups>*>(memory);
  const int warp_group = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (threadIdx.x == 0) {
    constexpr int kReleases = kGroups * kGroupThreads / 32;
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
  if (warp_group == 0) {
    give_registers<kProducerRegisters<kGroups>>();
    if (threadIdx.x == 0) produce(shared, p);
  } else {
    take_registers<kConsumerRegisters<kGroups>>();
    const int group = warp_group - 1, thread = static_cast<int>(threadIdx.x) % kGroupThreads;
    const int row = group * kGroupQueries + thread / 32 * 16 + thread % 32 / 4;
    Consumer<T, kDepth, kKeys, kGroups> consumer{shared, p, group, thread, row};
    AttentionPieces pieces(p.schedule, p.samples, static_cast<int>(blockIdx.x));
    AttentionPiece piece;
    if (group == kGroups - 1) consumer.next_turn();
    while (pieces.next(piece)) consumer.run(piece);
    if (group == 0) consumer.my_turn();  // takes back the turn that was given first
  }
#endif
}

// One warp group's share of one cut tile a block: sums of the pieces, each brought to the largest
// score of all, in the order of the keys.
template <class T, int kDepth, int kGroups>
__global__ __launch_bounds__(kGroupThreads) void merge_kernel(const __grid_constant__ Problem p) {
  constexpr int kQueries = kGroups * kGroupQueries;
  const AttentionSchedule& s = p.schedule;
  const int cut = static_cast<int>(blockIdx.x) / kGroups;
  const int group = static_cast<int>(blockIdx.x) % kGroups;
  const int sample = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x);
  const int64_t from = int64_t{cut} * s.key_tiles;
  const int first = s.range_of(from), last = s.range_of(from + s.key_tiles - 1);
  if (first == last) return;  // it was whole
  const int row = group * kGroupQueries + thread / 32 * 16 + thread % 32 / 4;
  const auto slot_of = [&](int range) {
    return int64_t{sample} * s.slots() + 2 * range + (s.begin(range) < from ? 1 : 0);
  };
  float sums[kDepth / 2] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
  for (int range = first; range <= last; ++range) {
    for (int r = 0; r < 2; ++r) {
      largest[r] = fmaxf(largest[r], p.stats[slot_of(range) * kQueries + row + 8 * r].x);
    }
  }
  for (int range = first; range <= last; ++range) {
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float2 stat = p.stats[slot_of(range) * kQueries + row + 8 * r];
      factor[r] = exp2f(stat.x - largest[r]);
      total[r] = fmaf(stat.y, factor[r], total[r]);
    }
    const float4* piece = reinterpret_cast<const float4*>(p.sums) +
                          (slot_of(range) * kGroups + group) * (kDepth / 8) * kGroupThreads +
                          thread;
#pragma unroll
    for (int i = 0; i < kDepth / 8; ++i) {
      const float4 v = piece[i * kGroupThreads];
      sums[i * 4] = fmaf(v.x, factor[0], sums[i * 4]);
      sums[i * 4 + 1] = fmaf(v.y, factor[0], sums[i * 4 + 1]);
      sums[i * 4 + 2] = fmaf(v.z, factor[1], sums[i * 4 + 2]);
      sums[i * 4 + 3] = fmaf(v.w, factor[1], sums[i * 4 + 3]);
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    T* out = output_row<T>(p, sample, s.whole + cut, kQueries, row + 8 * r);
    if (out) store_row(out, sums, r, 1.0f / total[r], thread % 4, p.depth);
  }
}

// The shape of the tiles for a problem.
struct Tiles {
  int queries, keys;
};
Tiles tiles_of(const AttentionExtents& e) {
  if (e.depth <= 64) return {192, 128};
  // A key tile costs its keys and about eight more; 176 wastes more of some key counts than 160.
  const auto cost = [&](int64_t keys) { return (e.keys + keys - 1) / keys * (keys + 8); };
  if (ATT_KEYS) return {128, ATT_KEYS};
  return {128, cost(160) < cost(176) ? 160 : 176};
}

AttentionSchedule schedule_of(const Call& call, const AttentionExtents& e, Tiles tiles) {
  const int64_t query_tiles = (e.queries + tiles.queries - 1) / tiles.queries;
  return AttentionSchedule::make(query_tiles * e.heads, (e.keys + tiles.keys - 1) / tiles.keys,
                                 device_info(call).processors);
}

size_t sums_bytes(const AttentionExtents& e, Tiles tiles, int64_t slots) {
  return static_cast<size_t>(slots * tiles.queries * (e.depth <= 64 ? 64 : 128)) * sizeof(float);
}

size_t workspace(const Call& call, const KernelState*) {
  const AttentionExtents e = attention_extents(call);
  const Tiles tiles = tiles_of(e);
  const int64_t slots =
      std::min<int64_t>(e.batch, kMostSamples) * schedule_of(call, e, tiles).slots();
  return sums_bytes(e, tiles, slots) + static_cast<size_t>(slots * tiles.queries) * sizeof(float2);
}

Verdict supports(const Call& call) {
  if (device_info(call).arch != 90)
    return Verdict::no("the device is not of compute capability 9.0");
  const Verdict types = attention_types(call);
  if (!types.supported) return types;
  if (dtype_of(call, AttentionOperands::kQ) == DType::f32) return Verdict::no("q is f32");
  if (has(call, AttentionOperands::kBias)) return Verdict::no("there is a bias");
  const AttentionExtents e = attention_extents(call);
  if (e.depth == 0 || e.depth > 128 || e.depth % 8 != 0) {
    return Verdict::no("heads are not of 8 to 128 channels, a multiple of 8");
  }
  if (e.keys == 0) return Verdict::no("there are no keys");
  if (!(call.attrs.get_double("scale") > 0)) return Verdict::no("scale is not positive");
  constexpr int64_t kMost = 1 << 30;
  if (e.batch > kMost || e.keys > kMost || e.heads * ((e.queries + 127) / 128) > kMost) {
    return Verdict::no("there are more than 2^30 tiles");
  }
  return Verdict::yes();
}

// x[batch, rows, heads, depth] in tiles of 64 channels and `box_rows` rows of one head.
CUtensorMap tiles_map(const Call& call, const Buffers& buffers, size_t input, int box_rows) {
  const Shape& x = shape_of(call, input);
  const auto extent = [&](int axis) { return static_cast<uint64_t>(x[axis]); };
  return encode_tiles(
      call,
      {.type = dtype_of(call, input) == DType::bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                                    : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
       .data = buffers.inputs[input],
       .rank = 4,
       .extents = {extent(3), extent(2), extent(1), extent(0)},
       .strides = {2 * extent(3), 2 * extent(3) * extent(2), 2 * extent(3) * extent(2) * extent(1)},
       .box = {kColumn, 1, static_cast<uint32_t>(box_rows), 1}});
}

template <class T, int kDepth, int kKeys, int kGroups>
void launch_tiles(const Call& call, const Buffers& buffers, Problem p, int samples) {
  constexpr size_t kShared = sizeof(Shared<T, kDepth, kKeys, kGroups>);
  const auto kernel = attention_kernel<T, kDepth, kKeys, kGroups>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared),
        "attention_sm90's shared memory");
  p.q = tiles_map(call, buffers, AttentionOperands::kQ, kGroups * kGroupQueries);
  p.k = tiles_map(call, buffers, AttentionOperands::kK, kKeys);
  p.v = tiles_map(call, buffers, AttentionOperands::kV, kKeys);
  const int step = p.schedule.cut > 0 ? std::min(samples, kMostSamples) : samples;
  for (p.first_sample = 0; p.first_sample < samples; p.first_sample += step) {
    p.samples = std::min(step, samples - p.first_sample);
    launch(call, kernel, dim3(static_cast<unsigned>(p.schedule.blocks)),
           (kGroups + 1) * kGroupThreads, kShared, p);
    launch(call, merge_kernel<T, kDepth, kGroups>,
           dim3(static_cast<unsigned>(p.schedule.cut * kGroups), static_cast<unsigned>(p.samples)),
           kGroupThreads, 0, p);
  }
}

void launch_attention(const Call& call, const KernelState* state, const Buffers& buffers) {
  if (!attention_aligned(buffers)) return launch_attention_simt(call, state, buffers);
  const AttentionExtents e = attention_extents(call);
  if (e.batch * e.queries * e.heads == 0) return;
  const Tiles tiles = tiles_of(e);
  const int64_t query_tiles = (e.queries + tiles.queries - 1) / tiles.queries;
  const AttentionSchedule schedule = schedule_of(call, e, tiles);
  const int64_t slots = std::min<int64_t>(e.batch, kMostSamples) * schedule.slots();
  auto* memory = static_cast<unsigned char*>(buffers.workspace);
  const Problem p = {
      .schedule = schedule,
      .queries = static_cast<int>(e.queries),
      .query_tiles = static_cast<int>(query_tiles),
      .heads = static_cast<int>(e.heads),
      .group_heads = static_cast<int>(e.heads / e.key_heads),
      .keys = static_cast<int>(e.keys),
      .depth = static_cast<int>(e.depth),
      .scale_log2 = static_cast<float>(call.attrs.get_double("scale") / std::log(2.0)),
      .out = buffers.outputs[0],
      .sums = reinterpret_cast<float*>(memory),
      .stats = reinterpret_cast<float2*>(memory + sums_bytes(e, tiles, slots))};
  const int samples = static_cast<int>(e.batch);
  const auto run = [&]<class T>(Type<T>) {
    if (e.depth <= 64) return launch_tiles<T, 64, 128, 3>(call, buffers, p, samples);
    if (tiles.keys == 160) return launch_tiles<T, 128, 160, 2>(call, buffers, p, samples);
    launch_tiles<T, 128, 176, 2>(call, buffers, p, samples);
  };
  if (dtype_of(call, AttentionOperands::kQ) == DType::bf16) return run(Type<__nv_bfloat16>{});
  run(Type<__half>{});
}

}  // namespace

const Kernel kAttentionSm90 = {.name = "attention_sm90",
                               .op = Op::attention,
                               .supports = supports,
                               .workspace = workspace,
                               .launch = launch_attention};

}  // namespace octavo::cuda
