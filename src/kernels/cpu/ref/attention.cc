// softmax(scale q k^T + bias) v. Query head h reads key head h / (H / Hkv). A row whose scores are
// all -inf weighs all keys equally, as a row of equal lowest values does; no keys give 0.
#include <cmath>
#include <limits>

#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kQ, kK, kV, kBias };

struct Extents {
  int64_t queries, heads, depth, keys, key_heads, value_depth;
};

Extents extents_of(const Call& call) {
  const Shape &q = shape_of(call, kQ), &k = shape_of(call, kK), &v = shape_of(call, kV);
  return {q[1], q[2], q[3], k[1], k[2], v[3]};
}

// The bias of (b, h, s) over keys, and its step along them; axes of extent 1 broadcast.
struct BiasRow {
  const float* data = nullptr;
  int64_t step = 0;
  double operator[](int64_t t) const { return data ? data[t * step] : 0.0; }
};

BiasRow bias_row(const Call& call, const float* bias, int64_t b, int64_t h, int64_t s) {
  if (!bias) return {};
  const Shape& shape = shape_of(call, kBias);
  const int64_t at[3] = {b, h, s};
  int64_t offset = 0;
  for (size_t axis = 0; axis < 3; ++axis) {
    offset = offset * shape[axis] + (shape[axis] == 1 ? 0 : at[axis]);
  }
  return {bias + offset * shape[3], shape[3] == 1 ? 0 : 1};
}

// exp(score - highest), unnormalised; returns their sum.
double softmax_weights(const double* scores, int64_t keys, double* weights) {
  double highest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t t = 0; t < keys; ++t) highest = std::max(highest, scores[t]);
  const bool none = std::isinf(highest) && highest < 0;
  for (int64_t t = 0; t < keys; ++t) {
    const bool equal = none && !std::isnan(scores[t]);
    weights[t] = equal ? 1.0 : std::exp(scores[t] - highest);
    sum += weights[t];
  }
  return sum;
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  const Extents e = extents_of(call);
  const double scale = call.attrs.get_double("scale");
  const int64_t rows = shape_of(call, kQ)[0] * e.queries * e.heads;
  for_rows(rows, e.keys * (e.depth + e.value_depth), [&](int64_t row) {
    const int64_t h = row % e.heads, s = row / e.heads % e.queries;
    const int64_t b = row / e.heads / e.queries, hk = h / (e.heads / e.key_heads);
    const BiasRow bias = bias_row(call, in[kBias], b, h, s);
    double* scores = scratch(2 * e.keys + e.value_depth);
    double *weights = scores + e.keys, *sums = weights + e.keys;
    for (int64_t t = 0; t < e.keys; ++t) {
      const float* k = in[kK] + ((b * e.keys + t) * e.key_heads + hk) * e.depth;
      double score = 0;
      for (int64_t d = 0; d < e.depth; ++d) score += double{in[kQ][row * e.depth + d]} * k[d];
      scores[t] = scale * score + bias[t];
    }
    const double total = softmax_weights(scores, e.keys, weights);
    std::fill(sums, sums + e.value_depth, 0.0);
    for (int64_t t = 0; t < e.keys; ++t) {
      const float* v = in[kV] + ((b * e.keys + t) * e.key_heads + hk) * e.value_depth;
      for (int64_t d = 0; d < e.value_depth; ++d) sums[d] += weights[t] * v[d];
    }
    for (int64_t d = 0; d < e.value_depth; ++d) {
      out.set(row * e.value_depth + d, e.keys == 0 ? 0.0 : sums[d] / total);
    }
  });
}

}  // namespace

const Kernel kAttentionRef = {.name = "attention_ref",
                              .op = Op::attention,
                              .supports = supports_floats,
                              .workspace = float_inputs_workspace,
                              .launch = launch};

}  // namespace octavo::cpu
