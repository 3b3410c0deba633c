// attention for every type, bias and extent, all arithmetic in f32: blocks of 64 queries against
// tiles of 64 keys in shared memory, with an online softmax. Channels of v beyond the first 128 are
// other blocks' work, which find the scores again: small code counts more than the time of shapes
// that no other kernel takes.
#include <cmath>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr int kTile = 64, kSlice = 32, kThreads = 256;
constexpr int kChunks = 2;  // of kTile channels, the output of a block
// Thread (x, y) of 16 x 16 has rows 4 y + i and columns x + 16 j of every product.
constexpr int kSide = 16, kPer = 4;

struct Problem {
  const void *q, *k, *v;
  void* out;
  AnyFloat bias;
  AttentionBiasStrides strides;
  AttentionExtents e;
  int64_t query_tiles;
  float scale;
};

struct Shared {
  union {
    struct {
      float q[kTile][kSlice + 1], k[kTile][kSlice + 1];
    };
    float v[kTile][kTile];
  };
  float weights[kTile][kTile + 1];
};

// scores = q k^T for one tile of keys.
template <class T>
__device__ void multiply_keys(Shared& shared, const T* q, const T* k, int64_t queries, int64_t keys,
                              const Problem& p, float (&scores)[kPer][kPer]) {
  const int x = threadIdx.x % kSide, y = threadIdx.x / kSide;
  const int64_t depth = p.e.depth;
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
#pragma unroll
    for (int j = 0; j < kPer; ++j) scores[i][j] = 0;
  }
  for (int64_t d = 0; d < depth; d += kSlice) {
    __syncthreads();
    const int column = threadIdx.x % kSlice;
    const bool inside = d + column < depth;
    for (int r = threadIdx.x / kSlice; r < kTile; r += kThreads / kSlice) {
      const int64_t at = d + column;
      shared.q[r][column] = inside && r < queries ? to_float(q[r * p.e.heads * depth + at]) : 0.0f;
      shared.k[r][column] = inside && r < keys ? to_float(k[r * p.e.key_heads * depth + at]) : 0.0f;
    }
    __syncthreads();
#pragma unroll 8
    for (int c = 0; c < kSlice; ++c) {
#pragma unroll
      for (int i = 0; i < kPer; ++i) {
#pragma unroll
        for (int j = 0; j < kPer; ++j) {
          scores[i][j] = fmaf(shared.q[y * kPer + i][c], shared.k[x + j * kSide][c], scores[i][j]);
        }
      }
    }
  }
}

template <class T>
__global__ __launch_bounds__(kThreads) void attention_kernel(const Problem p) {
  __shared__ Shared shared;
  const int x = threadIdx.x % kSide, y = threadIdx.x / kSide;
  const int64_t tile = blockIdx.x % p.query_tiles, bh = blockIdx.x / p.query_tiles;
  const int64_t h = bh % p.e.heads, b = bh / p.e.heads, depth = p.e.depth;
  const int64_t hk = h / (p.e.heads / p.e.key_heads), first = tile * kTile;
  const int64_t queries = min(int64_t{kTile}, p.e.queries - first);
  const int64_t channel = int64_t{blockIdx.y} * kChunks * kTile;
  const int64_t q_at = ((b * p.e.queries + first) * p.e.heads + h) * depth;
  const T* q = static_cast<const T*>(p.q) + q_at;
  float sums[kChunks][kPer][kPer] = {};
  AttentionRow rows[kPer];
  for (int64_t key = 0; key < p.e.keys; key += kTile) {
    const int64_t keys = min(int64_t{kTile}, p.e.keys - key);
    const int64_t k_at = ((b * p.e.keys + key) * p.e.key_heads + hk) * depth;
    const T* v = static_cast<const T*>(p.v) + k_at;
    float scores[kPer][kPer];
    multiply_keys(shared, q, static_cast<const T*>(p.k) + k_at, queries, keys, p, scores);
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      const int64_t query = min(first + y * kPer + i, p.e.queries - 1);
      const int64_t bias_at = b * p.strides.batch + h * p.strides.head + query * p.strides.query;
      float top = -INFINITY;
#pragma unroll
      for (int j = 0; j < kPer; ++j) {
        const int t = x + j * kSide;
        scores[i][j] = scores[i][j] * p.scale;
        if (p.bias.data && t < keys) scores[i][j] += p.bias[bias_at + (key + t) * p.strides.key];
        if (t < keys) top = fmaxf(top, scores[i][j]);
      }
      for (int step = 1; step < kSide; step *= 2) {
        top = fmaxf(top, __shfl_xor_sync(~0u, top, step));
      }
      const float shrink = rows[i].raise(top);
#pragma unroll
      for (int j = 0; j < kPer; ++j) {
        const int t = x + j * kSide;
        const float weight = t < keys ? rows[i].weight(scores[i][j]) : 0.0f;
        rows[i].total += weight;
        shared.weights[y * kPer + i][t] = weight;
      }
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
#pragma unroll
        for (int j = 0; j < kPer; ++j) sums[c][i][j] *= shrink;
      }
    }
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      if (channel + c * kTile >= depth) break;
      __syncthreads();
      for (int n = threadIdx.x; n < kTile * kTile; n += kThreads) {
        const int r = n / kTile;
        const int64_t column = channel + c * kTile + n % kTile;
        shared.v[r][n % kTile] =
            r < keys && column < depth ? to_float(v[r * p.e.key_heads * depth + column]) : 0.0f;
      }
      __syncthreads();
#pragma unroll 4
      for (int t = 0; t < kTile; ++t) {
#pragma unroll
        for (int i = 0; i < kPer; ++i) {
#pragma unroll
          for (int j = 0; j < kPer; ++j) {
            sums[c][i][j] =
                fmaf(shared.weights[y * kPer + i][t], shared.v[t][x + j * kSide], sums[c][i][j]);
          }
        }
      }
    }
  }
  T* out = static_cast<T*>(p.out) + q_at;
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    float total = rows[i].total;
    for (int step = 1; step < kSide; step *= 2) total += __shfl_xor_sync(~0u, total, step);
    const int row = y * kPer + i;
#pragma unroll
    for (int n = 0; n < kChunks * kPer; ++n) {
      const int64_t column = channel + n / kPer * kTile + x + n % kPer * kSide;
      if (row < queries && column < depth) {
        const float value = p.e.keys == 0 ? 0.0f : sums[n / kPer][i][n % kPer] / total;
        out[row * p.e.heads * depth + column] = from_float<T>(value);
      }
    }
  }
}

void launch_attention(const Call& call, const KernelState*, const Buffers& buffers) {
  using In = AttentionOperands;
  const AttentionExtents e = attention_extents(call);
  const int64_t tiles = (e.queries + kTile - 1) / kTile, blocks = e.batch * e.heads * tiles;
  if (e.depth == 0 || blocks == 0) return;
  if (blocks > INT32_MAX) fail(call, "attention of " + std::to_string(blocks) + " tiles");
  const Problem problem = {.q = buffers.inputs[In::kQ],
                           .k = buffers.inputs[In::kK],
                           .v = buffers.inputs[In::kV],
                           .out = buffers.outputs[0],
                           .bias = any_float(call, buffers, In::kBias),
                           .strides = attention_bias_strides(call),
                           .e = e,
                           .query_tiles = tiles,
                           .scale = static_cast<float>(call.attrs.get_double("scale"))};
  with_compute_type(dtype_of(call, In::kQ), [&](auto type) {
    using T = typename decltype(type)::type;
    const int64_t parts = (e.depth + kChunks * kTile - 1) / (kChunks * kTile);
    const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(parts));
    launch(call, attention_kernel<T>, grid, kThreads, 0, problem);
  });
}

}  // namespace

Verdict attention_types(const Call& call) {
  using In = AttentionOperands;
  const DType type = dtype_of(call, In::kQ);
  if (!is_compute_type(type)) return Verdict::no("q is not a compute type");
  if (dtype_of(call, In::kK) != type || dtype_of(call, In::kV) != type ||
      call.outputs[0].dtype != type) {
    return Verdict::no("q, k, v and the output differ in type");
  }
  if (shape_of(call, In::kV) != shape_of(call, In::kK)) return Verdict::no("v is not shaped as k");
  if (has(call, In::kBias) && !is_compute_type(dtype_of(call, In::kBias))) {
    return Verdict::no("the bias is not a compute type");
  }
  return Verdict::yes();
}

const Kernel kAttentionSimt = {.name = "attention_simt",
                               .op = Op::attention,
                               .supports = attention_types,
                               .launch = launch_attention};

}  // namespace octavo::cuda
