// For each sample, head and block of queries, oneDNN products over strided views of q, k and v with
// an online softmax between them. 16-bit operands are widened a block at a time.
#include "kernels/cpu/fast/attention_blocks.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernels/cpu/fast/codes.h"
#include "kernels/cpu/fast/convert_rows.h"
#include "kernels/cpu/fast/matmul.h"
#include "kernels/cpu/fast/out_quant.h"
#include "kernels/cpu/fast/scratch.h"
#include "kernels/cpu/fast/softmax.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

constexpr int64_t kQueryBlock = 64, kKeyBlock = 512;

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

// Rounds n weights in place; they come out `unit` times as large.
void round_weights(DType format, float unit, float* weights, int64_t n) {
  auto* codes = scratch_of<uint8_t>(Scratch::extra, n);
  encode_scaled(DType::f32, weights, 1 / unit, format, codes, n);
  widen(format, codes, weights, n);
}

class Runner {
 public:
  explicit Runner(const AttentionBlocks& blocks) : a_(blocks) {
    if (a_.weights)
      unit_ = std::exp2(std::floor(std::log2(static_cast<float>(info(*a_.weights).max))));
  }

  // Scores of one block, then its weighted values added to `sums`.
  void run(int64_t b, int64_t h, int64_t s) const;

 private:
  View view(const AttentionBlocks::Part& part, int64_t row, int64_t rows, int64_t head,
            int64_t of_heads, Scratch which) const {
    const int64_t depth = a_.depth, at = (row * of_heads + head) * depth, ld = of_heads * depth;
    if (part.type == DType::f32) return {static_cast<const float*>(part.data) + at, ld};
    const auto* from = static_cast<const BFloat16*>(part.data) + at;
    float* to = scratch_of<float>(which, rows * depth);
    for (int64_t r = 0; r < rows; ++r) widen(part.type, from + r * ld, to + r * depth, depth);
    return {to, depth};
  }

  // The bias of query `s` over the keys from `key`; strides of axes of extent 1 are 0.
  void set_bias(SoftmaxBlock& block, int64_t b, int64_t h, int64_t s, int64_t key) const {
    if (a_.bias.data == nullptr) return;
    const Shape& shape = a_.bias_shape;
    const int64_t at[3] = {b, h, s};
    int64_t offset = 0;
    for (size_t axis = 0; axis < 3; ++axis) {
      offset = offset * shape[axis] + (shape[axis] == 1 ? 0 : at[axis]);
    }
    block.bias_type = a_.bias.type;
    block.bias = static_cast<const std::byte*>(a_.bias.data) +
                 (offset * a_.keys + key) * (info(block.bias_type).bits / 8);
    block.bias_stride = shape[2] == 1 ? 0 : a_.keys;
  }

  void average_where_masked(float* total, int64_t rows, float* sums, int64_t b, int64_t hk) const;

  const AttentionBlocks& a_;
  float unit_ = 1;  // of rounded weights
};

void Runner::run(int64_t b, int64_t h, int64_t s) const {
  const int64_t depth = a_.depth, keys = a_.keys, rows = std::min(kQueryBlock, a_.queries - s);
  const int64_t hk = h / (a_.heads / a_.key_heads), block = std::min(kKeyBlock, keys);
  float* memory = scratch_of<float>(Scratch::tile, kQueryBlock * (block + depth + 2));
  SoftmaxBlock softmax{.scores = memory, .rows = rows, .scale = a_.scale, .depth = depth};
  softmax.sums = memory + kQueryBlock * block;
  softmax.largest = softmax.sums + kQueryBlock * depth;
  softmax.total = softmax.largest + kQueryBlock;
  const View q = view(a_.q, b * a_.queries + s, rows, h, a_.heads, Scratch::operand);
  for (int64_t key = 0; key < keys; key += block) {
    const int64_t count = std::min(block, keys - key);
    const View k = view(a_.k, b * keys + key, count, hk, a_.key_heads, Scratch::rows);
    softmax.keys = count;
    softmax.first = key == 0;
    set_bias(softmax, b, h, s, key);
    scores_product(rows, count, depth, q.ld, k.ld).run(q.data, k.data, softmax.scores);
    softmax_block(softmax);
    if (a_.weights) round_weights(*a_.weights, unit_, softmax.scores, rows * count);
    const View v = view(a_.v, b * keys + key, count, hk, a_.key_heads, Scratch::extra);
    values_product(rows, count, depth, v.ld, key > 0).run(softmax.scores, v.data, softmax.sums);
  }
  for (int64_t row = 0; row < rows; ++row) softmax.total[row] *= unit_;
  average_where_masked(softmax.total, rows, softmax.sums, b, hk);
  const int64_t at = ((b * a_.queries + s) * a_.heads + h) * depth;
  divide_rows(softmax.sums, softmax.total, rows, depth, a_.out_type,
              static_cast<std::byte*>(a_.out) + at * (info(a_.out_type).bits / 8),
              a_.heads * depth);
}

// Rows whose scores are all -inf weigh all keys equally.
void Runner::average_where_masked(float* total, int64_t rows, float* sums, int64_t b,
                                  int64_t hk) const {
  for (int64_t row = 0; row < rows; ++row) {
    if (total[row] != 0) continue;
    float* y = sums + row * a_.depth;
    std::fill(y, y + a_.depth, 0.0f);
    for (int64_t key = 0; key < a_.keys; ++key) {
      const View v = view(a_.v, b * a_.keys + key, 1, hk, a_.key_heads, Scratch::extra);
      for (int64_t i = 0; i < a_.depth; ++i) y[i] += v.data[i];
    }
    total[row] = static_cast<float>(a_.keys);
  }
}

}  // namespace

void AttentionBlocks::prepare() const {
  if (samples * queries * heads == 0) return;
  const int64_t block = std::min(kKeyBlock, keys);
  const auto ld = [&](const Part& part, int64_t of_heads) {
    return part.type == DType::f32 ? of_heads * depth : depth;
  };
  for (int64_t rows : {std::min(kQueryBlock, queries), (queries - 1) % kQueryBlock + 1}) {
    for (int64_t count : {block, (keys - 1) % block + 1}) {
      scores_product(rows, count, depth, ld(q, heads), ld(k, key_heads));
      for (bool add : {false, keys > block}) {
        values_product(rows, count, depth, ld(v, key_heads), add);
      }
    }
  }
}

void AttentionBlocks::run() const {
  const int64_t blocks = (queries + kQueryBlock - 1) / kQueryBlock;
  const Runner runner(*this);
  parallel_for(samples * heads * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      runner.run(i / blocks / heads, i / blocks % heads, i % blocks * kQueryBlock);
    }
  });
}

AttentionBlocks attention_blocks(const Call& call, size_t q, size_t k, size_t bias) {
  const Shape &queries = shape_of(call, q), &keys = shape_of(call, k);
  AttentionBlocks blocks{.scale = static_cast<float>(call.attrs.get_double("scale")),
                         .samples = queries[0],
                         .queries = queries[1],
                         .heads = queries[2],
                         .depth = queries[3],
                         .keys = keys[1],
                         .key_heads = keys[2]};
  if (call.attrs.has("weights")) blocks.weights = find_dtype(call.attrs.get_string("weights"));
  if (has(call, bias)) {
    blocks.bias.type = call.inputs[bias]->dtype;
    blocks.bias_shape = shape_of(call, bias);
  }
  return blocks;
}

Verdict supports_attention_blocks(const Call& call, size_t q, size_t k, size_t bias) {
  if (shape_of(call, q)[3] == 0 || shape_of(call, k)[1] == 0) {
    return Verdict::no("there are no keys, or heads are empty");
  }
  if (!has(call, bias)) return Verdict::yes();
  if (shape_of(call, bias)[3] != shape_of(call, k)[1]) {
    return Verdict::no("the bias is one for all keys");
  }
  return vector_float(call, bias, "bias");
}

Verdict supports_attention_output(const Call& call, size_t out_scale) {
  if (const auto spec = out_spec(call)) return supports_out_quant(call, *spec, out_scale);
  return is_vector_float(call.outputs[0].dtype) ? Verdict::yes()
                                                : Verdict::no("the output is not f32 or bf16");
}

size_t attention_output_workspace(const Call& call) {
  if (!call.attrs.has("out_spec")) return 0;
  return static_cast<size_t>(element_count(call.outputs[0].shape)) * sizeof(float);
}

void run_to_output(const Call& call, AttentionBlocks blocks, size_t out_scale,
                   const Buffers& buffers, void* staged) {
  const auto spec = out_spec(call);
  blocks.out_type = spec ? DType::f32 : call.outputs[0].dtype;
  blocks.out = spec ? staged : buffers.outputs[0];
  blocks.run();
  if (!spec) return;
  const Shape& shape = call.outputs[0].shape;
  quantize_rows(call, make_out_quant(spec), DType::f32, staged, leading_rows(shape), shape.back(),
                static_cast<const float*>(data_of(call, buffers, out_scale)), buffers.outputs[0],
                static_cast<float*>(buffers.outputs[1]));
}

}  // namespace octavo::cpu
