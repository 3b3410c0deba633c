#include <cuda_fp8.h>

#include "kernels/cuda/attention_e4m3.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/sm90/attention_launch.cuh"

namespace octavo::cuda {
namespace {

using namespace sm90;

constexpr int kDepth = 128, kKeys = 192, kPad = 64, kValueThreads = 256;
using Tiles = AttentionTiles<E4m3, kDepth, kKeys, 2, true>;

// One head's 64 keys a block: rows of v come in, rows of codes go out.
__global__ __launch_bounds__(kValueThreads) void quantize_values_kernel(
    const __nv_bfloat16* v, const float* scale, int by_head, int64_t keys, int64_t heads,
    int64_t padded, uint8_t* codes) {
  __shared__ alignas(16) uint8_t tile[kDepth][kPad + 4];
  const int64_t first = int64_t{blockIdx.x} * kPad, head = blockIdx.y, sample = blockIdx.z;
  const float unit = scale[by_head * head];
  const __nv_bfloat16* from = v + ((sample * keys + first) * heads + head) * kDepth;
  using Vector = Pack<__nv_bfloat16, 8>;
#pragma unroll
  for (int i = threadIdx.x; i < kPad / 2 * kDepth / 8; i += kValueThreads) {
    const int key = i / (kDepth / 8) * 2, d = i % (kDepth / 8) * 8;
    Vector even = {}, odd = {};
    const __nv_bfloat16* at = from + key * heads * kDepth + d;
    if (first + key < keys) even = *reinterpret_cast<const Vector*>(at);
    if (first + key + 1 < keys) odd = *reinterpret_cast<const Vector*>(at + heads * kDepth);
    // Key 16 i + 8 j + 2 l + c goes to place 16 i + 4 l + 2 j + c.
    const int place = key / 16 * 16 + key % 8 / 2 * 4 + key / 8 % 2 * 2;
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      const float2 pair = {to_float(even.v[e]) / unit, to_float(odd.v[e]) / unit};
      *reinterpret_cast<__nv_fp8x2_storage_t*>(&tile[d + e][place]) =
          __nv_cvt_float2_to_fp8x2(pair, __NV_SATFINITE, __NV_E4M3);
    }
  }
  __syncthreads();
  uint8_t* to = codes + (sample * heads + head) * kDepth * padded + first;
  for (int i = threadIdx.x; i < kDepth * kPad / 4; i += kValueThreads) {
    const int d = i / (kPad / 4), place = i % (kPad / 4) * 4;
    *reinterpret_cast<uint32_t*>(to + d * padded + place) =
        *reinterpret_cast<const uint32_t*>(&tile[d][place]);
  }
}

AttentionPlan plan_of(const Call& call, const AttentionExtents& e) {
  return AttentionPlan::make(call, e, Tiles::kQueries, kKeys, kDepth);
}

}  // namespace

std::string attention_e4m3_refusal(const Call& call, const AttentionExtents& e) {
  if (device_info(call).arch != 90) return "the device is not of compute capability 9.0";
  if (e.depth != kDepth) return "heads are not of " + std::to_string(kDepth) + " channels";
  if (e.keys == 0) return "there are no keys";
  return "";
}

size_t attention_e4m3_workspace(const Call& call, const AttentionExtents& extents) {
  return plan_of(call, extents).bytes;
}

int64_t attention_e4m3_padded_keys(int64_t keys) { return (keys + kPad - 1) / kPad * kPad; }

void quantize_attention_values(const Call& call, const AttentionExtents& e, const void* v,
                               const float* scale, bool by_head, void* codes) {
  const int64_t padded = attention_e4m3_padded_keys(e.keys);
  launch(call, quantize_values_kernel,
         dim3(static_cast<unsigned>(padded / kPad), static_cast<unsigned>(e.key_heads),
              static_cast<unsigned>(e.batch)),
         kValueThreads, 0, v, scale, by_head ? 1 : 0, e.keys, e.key_heads, padded, codes);
}

void attention_e4m3(const Call& call, const AttentionE4m3& a) {
  const AttentionExtents& e = a.extents;
  if (e.batch * e.queries * e.heads == 0) return;
  AttentionProblem p = attention_problem(e, plan_of(call, e), a.scale, a.out, a.workspace);
  p.q_scale = a.q_scale;
  p.k_scale = a.k_scale;
  p.v_scale = a.v_scale;
  p.by_head = a.by_head ? 1 : 0;
  constexpr CUtensorMapDataType kType = CU_TENSOR_MAP_DATA_TYPE_UINT8;
  p.q = attention_tiles(call, kType, 1, a.q, e.batch, e.queries, e.heads, e.depth, Tiles::kQueries);
  p.k = attention_tiles(call, kType, 1, a.k, e.batch, e.keys, e.key_heads, e.depth, kKeys);
  const auto padded = static_cast<uint64_t>(attention_e4m3_padded_keys(e.keys));
  const auto heads = static_cast<uint64_t>(e.key_heads);
  p.v = encode_tiles(call, {.type = kType,
                            .data = a.v,
                            .rank = 4,
                            .extents = {padded, kDepth, heads, static_cast<uint64_t>(e.batch)},
                            .strides = {padded, padded * kDepth, padded * kDepth * heads},
                            .box = {Tiles::Elements::kValueColumn, kDepth, 1, 1},
                            .swizzle = CU_TENSOR_MAP_SWIZZLE_64B});
  launch_attention_tiles<Tiles>(call, p, e.batch);
}

}  // namespace octavo::cuda
