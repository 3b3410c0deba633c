#pragma once
// attention over e4m3 codes on Hopper. Not an op of the graph: the pass or kernel that quantizes q,
// k and v decides when to take it.
#include "kernels/cuda/attention.h"

namespace octavo::cuda {

// Scales are device addresses of what codes are multiplied with: one value, or (by_head) one a head
// of q, k and v. out = softmax(scale q k^T) v as bf16.
struct AttentionE4m3 {
  AttentionExtents extents;  // depth 128
  const void *q, *k;         // codes, shaped as attention's q and k
  const void* v;             // as quantize_attention_values writes it
  const float *q_scale, *k_scale, *v_scale;
  bool by_head = false;
  double scale = 1;
  void* out = nullptr;        // bf16 [batch, queries, heads, depth]
  void* workspace = nullptr;  // attention_e4m3_workspace() bytes
};

// Empty, or why it cannot be: another device than Hopper, another depth, no keys.
std::string attention_e4m3_refusal(const Call& call, const AttentionExtents& extents);
size_t attention_e4m3_workspace(const Call& call, const AttentionExtents& extents);
// `call` gives the device and the name for messages. Addresses are multiples of 16.
void attention_e4m3(const Call& call, const AttentionE4m3& attention);

// v[batch, keys, key_heads, depth] of bf16 to codes [batch, key_heads, depth, padded keys], zeros
// behind the last key, in the order of keys that sm90/attention_elements.cuh wants.
int64_t attention_e4m3_padded_keys(int64_t keys);
void quantize_attention_values(const Call& call, const AttentionExtents& extents, const void* v,
                               const float* scale, bool by_head, void* codes);

}  // namespace octavo::cuda
