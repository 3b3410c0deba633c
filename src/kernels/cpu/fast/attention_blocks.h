#pragma once
// Attention by blocks of queries and keys (attention_blocks.cc), for kernels that have its operands
// as f32 or bf16.
#include <optional>

#include "kernels/kernel.h"

namespace octavo::cpu {

struct AttentionBlocks {
  struct Part {
    DType type = DType::f32;  // or bf16
    const void* data = nullptr;
  };
  Part q = {}, k = {},
       v = {};     // [samples, queries, heads, depth], [samples, keys, key_heads, depth]
  Part bias = {};  // data nullptr: none
  Shape bias_shape = {};
  std::optional<DType> weights = {};  // what the softmax's weights are rounded to
  float scale = 1;
  int64_t samples = 0, queries = 0, heads = 0, depth = 0, keys = 0, key_heads = 0;
  DType out_type = DType::f32;  // or bf16
  void* out = nullptr;

  // Makes the products that run() will use; data may be missing.
  void prepare() const;
  void run() const;
};

// Extents, scale, weights and bias of a call whose q, k and bias are these inputs. Data is left
// out.
AttentionBlocks attention_blocks(const Call& call, size_t q, size_t k, size_t bias);
// What stands in the way: empty heads, no keys, a bias that is one for all keys or of another type.
Verdict supports_attention_blocks(const Call& call, size_t q, size_t k, size_t bias);

// Writes f32 or bf16 rows to outputs[0], or, with out_spec, quantizes what run() wrote to the
// workspace.
Verdict supports_attention_output(const Call& call, size_t out_scale);
size_t attention_output_workspace(const Call& call);  // bytes of f32 rows, 0 without out_spec
void run_to_output(const Call& call, AttentionBlocks blocks, size_t out_scale,
                   const Buffers& buffers, void* staged);

}  // namespace octavo::cpu
