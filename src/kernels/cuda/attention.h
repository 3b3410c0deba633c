#pragma once
// What the attention kernels share on the host's side.
#include "kernels/cuda/cuda.h"

namespace octavo::cuda {

struct AttentionOperands {
  enum Input : size_t { kQ, kK, kV, kBias };
};

// q[batch, queries, heads, depth], k and v[batch, keys, key_heads, depth]. Query head h reads key
// head h / (heads / key_heads).
struct AttentionExtents {
  int64_t batch, queries, heads, keys, key_heads, depth;
};
inline AttentionExtents attention_extents(const Call& call) {
  const Shape &q = shape_of(call, AttentionOperands::kQ),
              &k = shape_of(call, AttentionOperands::kK);
  return {q[0], q[1], q[2], k[1], k[2], q[3]};
}

// Elements to step over for one of batch, head, query and key; 0 along axes of extent 1.
struct AttentionBiasStrides {
  int64_t batch = 0, head = 0, query = 0, key = 0;
};
inline AttentionBiasStrides attention_bias_strides(const Call& call) {
  if (!has(call, AttentionOperands::kBias)) return {};
  const Shape& s = shape_of(call, AttentionOperands::kBias);
  return {s[0] == 1 ? 0 : s[1] * s[2] * s[3], s[1] == 1 ? 0 : s[2] * s[3], s[2] == 1 ? 0 : s[3],
          s[3] == 1 ? 0 : 1};
}

// q, k and v of one compute type, v as deep as k, bias of any compute type.
Verdict attention_types(const Call& call);

}  // namespace octavo::cuda
