// attention: for each sample, head and block of queries, oneDNN products over strided views of q, k
// and v with an online softmax between them. 16-bit operands are widened a block at a time.
#include <fmt/format.h>

#include <algorithm>

#include "base/threads.h"
#include "kernels/cpu/fast/convert_rows.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/matmul.h"
#include "kernels/cpu/fast/scratch.h"
#include "kernels/cpu/fast/softmax.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kQ, kK, kV, kBias };

constexpr int64_t kQueryBlock = 64, kKeyBlock = 512;

Verdict supports(const Call& call) {
  const Verdict types = all_of(
      {vector_float(call, kQ, "q"), vector_float(call, kK, "k"), vector_float(call, kV, "v")});
  if (!types.supported) return types;
  const Shape &q = shape_of(call, kQ), &k = shape_of(call, kK);
  if (q[3] == 0 || k[1] == 0) return Verdict::no("there are no keys, or heads are empty");
  if (!has(call, kBias)) return Verdict::yes();
  if (shape_of(call, kBias)[3] != k[1]) return Verdict::no("the bias is one for all keys");
  return vector_float(call, kBias, "bias");
}

// A matrix of f32 rows inside a tensor, widened where that holds bf16.
struct View {
  const float* data;
  int64_t ld;
};

// scores[rows][keys] = q[rows][depth] k[keys][depth]^T
const Matmul& scores_product(int64_t rows, int64_t keys, int64_t depth, int64_t ldq, int64_t ldk) {
  return Matmul::get(
      {.m = rows, .n = keys, .k = depth, .lda = ldq, .ldc = keys, .ldb_k = 1, .ldb_n = ldk});
}

// sums[rows][depth] (+)= weights[rows][keys] v[keys][depth]
const Matmul& values_product(int64_t rows, int64_t keys, int64_t depth, int64_t ldv, bool add) {
  return Matmul::get({.m = rows,
                      .n = depth,
                      .k = keys,
                      .lda = keys,
                      .ldc = depth,
                      .ldb_k = ldv,
                      .ldb_n = 1,
                      .accumulate = add});
}

struct Attention {
  const Call& call;
  const Buffers& buffers;
  float scale;
  int64_t queries, heads, depth, keys, key_heads;

  View view(size_t input, int64_t row, int64_t rows, int64_t head, int64_t of_heads,
            Scratch which) const {
    const int64_t at = (row * of_heads + head) * depth, ld = of_heads * depth;
    const DType type = call.inputs[input]->dtype;
    if (type == DType::f32) return {static_cast<const float*>(buffers.inputs[input]) + at, ld};
    const auto* from = static_cast<const BFloat16*>(buffers.inputs[input]) + at;
    float* to = scratch_of<float>(which, rows * depth);
    for (int64_t r = 0; r < rows; ++r) widen(type, from + r * ld, to + r * depth, depth);
    return {to, depth};
  }

  // The bias of query `s` over the keys from `key`; strides of axes of extent 1 are 0.
  void set_bias(SoftmaxBlock& block, int64_t b, int64_t h, int64_t s, int64_t key) const {
    if (!has(call, kBias)) return;
    const Shape& shape = shape_of(call, kBias);
    const int64_t at[3] = {b, h, s};
    int64_t offset = 0;
    for (size_t axis = 0; axis < 3; ++axis) {
      offset = offset * shape[axis] + (shape[axis] == 1 ? 0 : at[axis]);
    }
    block.bias_type = call.inputs[kBias]->dtype;
    block.bias = static_cast<const std::byte*>(buffers.inputs[kBias]) +
                 (offset * keys + key) * (info(block.bias_type).bits / 8);
    block.bias_stride = shape[2] == 1 ? 0 : keys;
  }

  void run(int64_t b, int64_t h, int64_t s) const;
  void average_where_masked(float* total, int64_t rows, float* sums, int64_t b, int64_t hk) const;
};

// Scores of one block, then its weighted values added to `sums`.
void Attention::run(int64_t b, int64_t h, int64_t s) const {
  const int64_t rows = std::min(kQueryBlock, queries - s), hk = h / (heads / key_heads);
  const int64_t block = std::min(kKeyBlock, keys);
  float* memory = scratch_of<float>(Scratch::tile, kQueryBlock * (block + depth + 2));
  SoftmaxBlock softmax{.scores = memory, .rows = rows, .scale = scale, .depth = depth};
  softmax.sums = memory + kQueryBlock * block;
  softmax.largest = softmax.sums + kQueryBlock * depth;
  softmax.total = softmax.largest + kQueryBlock;
  const View q = view(kQ, b * queries + s, rows, h, heads, Scratch::operand);
  for (int64_t key = 0; key < keys; key += block) {
    const int64_t count = std::min(block, keys - key);
    const View k = view(kK, b * keys + key, count, hk, key_heads, Scratch::rows);
    const View v = view(kV, b * keys + key, count, hk, key_heads, Scratch::extra);
    softmax.keys = count;
    softmax.first = key == 0;
    set_bias(softmax, b, h, s, key);
    scores_product(rows, count, depth, q.ld, k.ld).run(q.data, k.data, softmax.scores);
    softmax_block(softmax);
    values_product(rows, count, depth, v.ld, key > 0).run(softmax.scores, v.data, softmax.sums);
  }
  average_where_masked(softmax.total, rows, softmax.sums, b, hk);
  const DType type = call.outputs[0].dtype;
  const int64_t at = ((b * queries + s) * heads + h) * depth;
  divide_rows(softmax.sums, softmax.total, rows, depth, type,
              static_cast<std::byte*>(buffers.outputs[0]) + at * (info(type).bits / 8),
              heads * depth);
}

// Rows whose scores are all -inf weigh all keys equally.
void Attention::average_where_masked(float* total, int64_t rows, float* sums, int64_t b,
                                     int64_t hk) const {
  for (int64_t row = 0; row < rows; ++row) {
    if (total[row] != 0) continue;
    float* y = sums + row * depth;
    std::fill(y, y + depth, 0.0f);
    for (int64_t key = 0; key < keys; ++key) {
      const View v = view(kV, b * keys + key, 1, hk, key_heads, Scratch::extra);
      for (int64_t i = 0; i < depth; ++i) y[i] += v.data[i];
    }
    total[row] = static_cast<float>(keys);
  }
}

// Needs no memory of the plan, but makes the products that launches will use.
size_t workspace(const Call& call, const KernelState*) {
  const Shape &q = shape_of(call, kQ), &k = shape_of(call, kK);
  if (q[0] * q[1] * q[2] == 0) return 0;
  const int64_t depth = q[3], keys = k[1], block = std::min(kKeyBlock, keys);
  const auto ld = [&](size_t input, int64_t heads) {
    return call.inputs[input]->dtype == DType::f32 ? heads * depth : depth;
  };
  for (int64_t rows : {std::min(kQueryBlock, q[1]), (q[1] - 1) % kQueryBlock + 1}) {
    for (int64_t count : {block, (keys - 1) % block + 1}) {
      scores_product(rows, count, depth, ld(kQ, q[2]), ld(kK, k[2]));
      for (bool add : {false, keys > block}) {
        values_product(rows, count, depth, ld(kV, k[2]), add);
      }
    }
  }
  return 0;
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const Shape &q = shape_of(call, kQ), &k = shape_of(call, kK);
  const Attention attention{.call = call,
                            .buffers = buffers,
                            .scale = static_cast<float>(call.attrs.get_double("scale")),
                            .queries = q[1],
                            .heads = q[2],
                            .depth = q[3],
                            .keys = k[1],
                            .key_heads = k[2]};
  const int64_t blocks = (q[1] + kQueryBlock - 1) / kQueryBlock;
  parallel_for(q[0] * q[2] * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      attention.run(i / blocks / q[2], i / blocks % q[2], i % blocks * kQueryBlock);
    }
  });
}

}  // namespace

const Kernel kAttentionF32Onednn = {.name = "attention_f32_onednn",
                                    .op = Op::attention,
                                    .supports = supports,
                                    .workspace = workspace,
                                    .launch = launch};

}  // namespace octavo::cpu
