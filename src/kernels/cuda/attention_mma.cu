// attention for 16-bit types on the tensor cores of sm_80 and later (mma.sync), with or without
// bias, after FlashAttention-2 (Dao 2023): a warp keeps 32 queries; tiles of k and v come to shared
// memory with cp.async, one ahead. Sums and softmax are f32; weights are rounded for the product
// with v.
#include <cmath>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/mma16.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps, kRowTiles = 2, kWarpQueries = 16 * kRowTiles;
constexpr int kQueries = kWarps * kWarpQueries, kAlignment = 16, kVector = kAlignment / 2;

struct Problem {
  const void *q, *k, *v;
  void* out;
  const void* bias;
  AttentionBiasStrides strides;
  AttentionExtents e;
  int64_t query_tiles;
  float scale;
};

constexpr float kLog2E = 1.44269504f, kLowest = -3.402823466e38f;

__device__ inline float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// A tile of rows in shared memory, 16-byte vectors swizzled so that eight rows in a column of
// vectors lie in different banks.
template <class T, int kRows, int kDepth>
struct alignas(128) Tile {
  T data[kRows][kDepth];
  static constexpr int kVectors = kDepth / kVector;
  __device__ const T* at(int row, int vector) const {
    const int swizzled = kVectors >= 8 ? vector ^ (row & 7) : vector ^ (row >> 1 & 3);
    return &data[row][swizzled * kVector];
  }
  // Starts the copy of `rows` rows of `depth` elements, the rest zeros.
  __device__ void load(const T* from, int64_t stride, int64_t rows, int depth) {
    for (int i = threadIdx.x; i < kRows * kVectors; i += kThreads) {
      const int row = i / kVectors, vector = i % kVectors;
      const bool inside = row < rows && vector * kVector < depth;
      copy_async(at(row, vector), inside ? from + row * stride + vector * kVector : from, inside);
    }
  }
};

template <class T, int kDepth, int kKeys>
struct Shared {
  Tile<T, kQueries, kDepth> q;
  Tile<T, kKeys, kDepth> k[2], v[2];
};

// Bias: its type, or void where there is none.
template <class T, class Bias, int kDepth, int kKeys>
struct Warp {
  static constexpr int kBlocks = kKeys / 8, kColumns = kDepth / 8;
  const Problem& p;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float scores[kRowTiles][kBlocks][4];
  float sums[kRowTiles][kColumns][4] = {};
  // Of a thread's rows: the largest score so far and its share of the sum of weights.
  float largest[kRowTiles][2], total[kRowTiles][2] = {};

  __device__ void multiply_keys(const Tile<T, kQueries, kDepth>& q,
                                const Tile<T, kKeys, kDepth>& k) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
        for (float& score : scores[m][n]) score = 0;
      }
    }
#pragma unroll
    for (int d = 0; d < kDepth / 16; ++d) {
      uint32_t a[kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        load_matrices(a[m], q.at(warp * kWarpQueries + m * 16 + lane % 16, d * 2 + lane / 16));
      }
#pragma unroll
      for (int n = 0; n < kBlocks; n += 2) {
        uint32_t b[4];
        load_matrices(b, k.at(n * 8 + lane / 16 * 8 + lane % 8, d * 2 + lane / 8 % 2));
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          multiply<T>(scores[m][n], a[m], b[0], b[1]);
          multiply<T>(scores[m][n + 1], a[m], b[2], b[3]);
        }
      }
    }
  }

  // Scores become weights; `keys` of the tile exist, and `bias` is where its first key has it.
  // With a bias, -inf counts as the lowest f32: all keys of a row that has only such weigh the
  // same.
  __device__ void weigh(int keys, int64_t bias, int64_t first_query) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        if constexpr (!std::is_void_v<Bias>) {
          const int64_t query = first_query + warp * kWarpQueries + m * 16 + lane / 4 + 8 * r;
          const int64_t row = bias + min(query, p.e.queries - 1) * p.strides.query;
          add_bias(m, r, keys, static_cast<const Bias*>(p.bias) + row);
        }
        if (keys < kKeys) hide(m, r, keys);
        weigh_row(m, r);
      }
    }
  }

  template <class B>
  __device__ void add_bias(int m, int r, int keys, const B* bias) {
    const int step = static_cast<int>(p.strides.key);
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int key = n * 8 + lane % 4 * 2 + c;
        float& score = scores[m][n][2 * r + c];
        score = fmaf(score, p.scale, key < keys ? to_float(bias[key * step]) : 0.0f);
        if (score < kLowest) score = kLowest;  // NaN stays
      }
    }
  }

  // Keys that do not exist have no weight.
  __device__ void hide(int m, int r, int keys) {
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        if (n * 8 + lane % 4 * 2 + c >= keys) scores[m][n][2 * r + c] = -INFINITY;
      }
    }
  }

  __device__ void weigh_row(int m, int r) {
    // Without a bias scores are not scaled yet.
    const float scale = std::is_void_v<Bias> ? p.scale * kLog2E : kLog2E;
    float top = largest[m][r];
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
      top = fmaxf(top, fmaxf(scores[m][n][2 * r], scores[m][n][2 * r + 1]));
    }
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
    // Differences first: the lowest f32 times kLog2E is not finite.
    const float shrink = power_of_two((largest[m][r] - top) * scale);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        float& score = scores[m][n][2 * r + c];
        score = power_of_two((score - top) * scale);
        sum += score;
      }
    }
    largest[m][r] = top;
    total[m][r] = fmaf(total[m][r], shrink, sum);
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      sums[m][n][2 * r] *= shrink;
      sums[m][n][2 * r + 1] *= shrink;
    }
  }

  __device__ void multiply_values(const Tile<T, kKeys, kDepth>& v) {
#pragma unroll
    for (int t = 0; t < kBlocks; t += 2) {
      uint32_t a[kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float* pair = &scores[m][t + i / 2][i % 2 * 2];
          a[m][i] = pack16<T>(pair[0], pair[1]);
        }
      }
#pragma unroll
      for (int n = 0; n < kColumns; n += 2) {
        uint32_t b[4];
        load_matrices_transposed(b, v.at(t * 8 + lane % 16, n + lane / 16));
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          multiply<T>(sums[m][n], a[m], b[0], b[1]);
          multiply<T>(sums[m][n + 1], a[m], b[2], b[3]);
        }
      }
    }
  }

  // `out` is where the block's first query goes.
  __device__ void store(T* out, int64_t queries) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float all = total[m][r];
        all += __shfl_xor_sync(~0u, all, 1);
        all += __shfl_xor_sync(~0u, all, 2);
        const float factor = p.e.keys == 0 ? 0.0f : 1.0f / all;
        const int row = warp * kWarpQueries + m * 16 + lane / 4 + 8 * r;
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
          const int column = n * 8 + lane % 4 * 2;
          if (row >= queries || column >= p.e.depth) continue;
          *reinterpret_cast<uint32_t*>(out + row * p.e.heads * p.e.depth + column) =
              pack16<T>(sums[m][n][2 * r] * factor, sums[m][n][2 * r + 1] * factor);
        }
      }
    }
  }
};

template <class T, class Bias, int kDepth, int kKeys>
__global__ __launch_bounds__(kThreads) void attention_kernel(const Problem p) {
  extern __shared__ __align__(128) unsigned char memory[];
  auto& shared = *reinterpret_cast<Shared<T, kDepth, kKeys>*>(memory);
  const int64_t tile = blockIdx.x % p.query_tiles, bh = blockIdx.x / p.query_tiles;
  const int64_t h = bh % p.e.heads, b = bh / p.e.heads, hk = h / (p.e.heads / p.e.key_heads);
  const int64_t first = tile * kQueries, queries = p.e.queries - first;
  const int64_t q_at = ((b * p.e.queries + first) * p.e.heads + h) * p.e.depth;
  const int64_t k_at = (b * p.e.keys * p.e.key_heads + hk) * p.e.depth;
  const int64_t stride = p.e.key_heads * p.e.depth;
  const int depth = static_cast<int>(p.e.depth);
  const auto load = [&](Tile<T, kKeys, kDepth>(&tiles)[2], const void* from, int64_t n) {
    const int64_t key = n * kKeys;
    if (key < p.e.keys) {
      tiles[n % 2].load(static_cast<const T*>(from) + k_at + key * stride, stride, p.e.keys - key,
                        depth);
    }
    copies_commit();
  };
  Warp<T, Bias, kDepth, kKeys> warp{p};
#pragma unroll
  for (int i = 0; i < 2 * kRowTiles; ++i) warp.largest[i / 2][i % 2] = -INFINITY;
  shared.q.load(static_cast<const T*>(p.q) + q_at, p.e.heads * p.e.depth, queries, depth);
  load(shared.k, p.k, 0);
  load(shared.v, p.v, 0);
  for (int64_t n = 0; n * kKeys < p.e.keys; ++n) {
    // A tile is overwritten after the barrier that follows its last use.
    copies_wait<1>();
    __syncthreads();
    load(shared.k, p.k, n + 1);
    warp.multiply_keys(shared.q, shared.k[n % 2]);
    const int64_t key = n * kKeys;
    warp.weigh(static_cast<int>(min(p.e.keys - key, int64_t{kKeys})),
               b * p.strides.batch + h * p.strides.head + key * p.strides.key, first);
    copies_wait<1>();
    __syncthreads();
    load(shared.v, p.v, n + 1);
    warp.multiply_values(shared.v[n % 2]);
  }
  warp.store(static_cast<T*>(p.out) + q_at, queries);
}

Verdict supports(const Call& call) {
  const Verdict types = attention_types(call);
  if (!types.supported) return types;
  if (dtype_of(call, AttentionOperands::kQ) == DType::f32) return Verdict::no("q is f32");
  const AttentionExtents e = attention_extents(call);
  if (e.depth == 0 || e.depth > 128 || e.depth % kVector != 0) {
    return Verdict::no("heads are not of 8 to 128 channels, a multiple of 8");
  }
  if (has(call, AttentionOperands::kBias)) {
    const DType bias = dtype_of(call, AttentionOperands::kBias);
    if (bias != DType::f32 && bias != dtype_of(call, AttentionOperands::kQ)) {
      return Verdict::no("the bias is neither f32 nor of q's type");
    }
  }
  if (!(call.attrs.get_double("scale") > 0)) return Verdict::no("scale is not positive");
  return Verdict::yes();
}

template <class T, class Bias, int kDepth, int kKeys>
void launch_tiles(const Call& call, const Problem& problem, int64_t blocks) {
  constexpr size_t kShared = sizeof(Shared<T, kDepth, kKeys>);
  const auto kernel = attention_kernel<T, Bias, kDepth, kKeys>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared),
        "attention_mma's shared memory");
  launch(call, kernel, dim3(static_cast<unsigned>(blocks)), kThreads, kShared, problem);
}

void launch_attention(const Call& call, const KernelState*, const Buffers& buffers) {
  using In = AttentionOperands;
  const AttentionExtents e = attention_extents(call);
  const int64_t tiles = (e.queries + kQueries - 1) / kQueries, blocks = e.batch * e.heads * tiles;
  if (blocks == 0) return;
  if (blocks > INT32_MAX) fail(call, "attention of " + std::to_string(blocks) + " tiles");
  const Problem problem = {.q = buffers.inputs[In::kQ],
                           .k = buffers.inputs[In::kK],
                           .v = buffers.inputs[In::kV],
                           .out = buffers.outputs[0],
                           .bias = has(call, In::kBias) ? buffers.inputs[In::kBias] : nullptr,
                           .strides = attention_bias_strides(call),
                           .e = e,
                           .query_tiles = tiles,
                           .scale = static_cast<float>(call.attrs.get_double("scale"))};
  const bool wide = has(call, In::kBias) && dtype_of(call, In::kBias) == DType::f32;
  const auto run = [&]<class T, class Bias>(Type<T>, Type<Bias>) {
    if (e.depth <= 32) return launch_tiles<T, Bias, 32, 64>(call, problem, blocks);
    if (e.depth <= 64) return launch_tiles<T, Bias, 64, 64>(call, problem, blocks);
    launch_tiles<T, Bias, 128, 32>(call, problem, blocks);
  };
  const auto run_type = [&]<class T>(Type<T> type) {
    if (!has(call, In::kBias)) return run(type, Type<void>{});
    return wide ? run(type, Type<float>{}) : run(type, type);
  };
  if (dtype_of(call, In::kQ) == DType::bf16) return run_type(Type<__nv_bfloat16>{});
  run_type(Type<__half>{});
}

}  // namespace

const Kernel kAttentionMma = {.name = "attention_mma",
                              .op = Op::attention,
                              .supports = supports,
                              .launch = launch_attention,
                              .alignment = kAlignment};

}  // namespace octavo::cuda
