// softmax(scale q k^T + bias) v, over floats or over codes, whose values are f32 products of code
// and scale. Query head h reads key head h / (H / Hkv). A row whose scores are all -inf weighs all
// keys equally, as a row of equal lowest values does; no keys give 0.
#include <cmath>
#include <limits>

#include "kernels/cpu/ref/fused_output.h"
#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/scale_grid.h"
#include "tensor/codec.h"

namespace octavo::cpu {
namespace {

// Where the operands of attention and of quantized_attention are.
struct Places {
  size_t q, k, v, bias, out_scale;
};
constexpr Places kFloats = {0, 1, 2, 3, 4}, kCodes = {0, 2, 4, 6, 7};

struct Extents {
  int64_t samples, queries, heads, depth, keys, key_heads;
};

Extents extents_of(const Call& call, const Places& at) {
  const Shape &q = shape_of(call, at.q), &k = shape_of(call, at.k);
  return {q[0], q[1], q[2], q[3], k[1], k[2]};
}

// The bias of (b, h, s) over keys, and its step along them; axes of extent 1 broadcast.
struct BiasRow {
  const float* data = nullptr;
  int64_t step = 0;
  double operator[](int64_t t) const { return data ? data[t * step] : 0.0; }
};

BiasRow bias_row(const Call& call, const Places& places, const float* bias, int64_t b, int64_t h,
                 int64_t s) {
  if (!bias) return {};
  const Shape& shape = shape_of(call, places.bias);
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

// Rounds weights of up to 1 as attribute `weights` says.
class WeightRounding {
 public:
  explicit WeightRounding(const Call& call) {
    if (!call.attrs.has("weights")) return;
    format_ = *find_dtype(call.attrs.get_string("weights"));
    unit_ = std::exp2(std::floor(std::log2(info(*format_).max)));
  }
  double operator()(double weight) const {
    if (!format_ || std::isnan(weight)) return weight;
    const auto scaled = static_cast<float>(weight * unit_);
    return decode(*format_, encode(*format_, scaled)) / unit_;
  }

 private:
  std::optional<DType> format_;
  double unit_ = 1;
};

struct Values {
  const float *q, *k, *v, *bias;
};

void attend(const Call& call, const Places& places, const Values& in, const FusedOutput& out) {
  const Extents e = extents_of(call, places);
  const WeightRounding rounded(call);
  const double scale = call.attrs.get_double("scale");
  for_rows(e.samples * e.queries * e.heads, 2 * e.keys * e.depth, [&](int64_t row) {
    const int64_t h = row % e.heads, s = row / e.heads % e.queries;
    const int64_t b = row / e.heads / e.queries, hk = h / (e.heads / e.key_heads);
    const BiasRow bias = bias_row(call, places, in.bias, b, h, s);
    double* scores = scratch(2 * e.keys + e.depth);
    double *weights = scores + e.keys, *sums = weights + e.keys;
    for (int64_t t = 0; t < e.keys; ++t) {
      const float* k = in.k + ((b * e.keys + t) * e.key_heads + hk) * e.depth;
      double score = 0;
      for (int64_t d = 0; d < e.depth; ++d) score += double{in.q[row * e.depth + d]} * k[d];
      scores[t] = scale * score + bias[t];
    }
    const double total = softmax_weights(scores, e.keys, weights);
    std::fill(sums, sums + e.depth, 0.0);
    for (int64_t t = 0; t < e.keys; ++t) {
      const float* v = in.v + ((b * e.keys + t) * e.key_heads + hk) * e.depth;
      const double weight = rounded(weights[t]);
      for (int64_t d = 0; d < e.depth; ++d) sums[d] += weight * v[d];
    }
    for (int64_t d = 0; d < e.depth; ++d) {
      out.set(row * e.depth + d, e.keys == 0 ? 0.0 : sums[d] / total);
    }
  });
  out.finish();
}

// Where the fused output's rows and inputs of other types than f32 are decoded.
size_t workspace(const Call& call, const KernelState*) {
  Arena arena(nullptr);
  count_float_inputs(call, arena);
  count_fused_output(call, arena);
  return arena.used();
}

Verdict supports(const Call& call) {
  return all_of({float_inputs(call, kFloats.q, kFloats.bias),
                 supports_fused_output(call, kFloats.out_scale)});
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FusedOutput out(call, buffers, kFloats.out_scale, arena);
  attend(call, kFloats, {in[kFloats.q], in[kFloats.k], in[kFloats.v], in[kFloats.bias]}, out);
}

QuantSpec spec_of(const Call& call, const char* key) {
  return QuantSpec::parse(call.attrs.get_string(key));
}

Verdict supports_codes_of(const Call& call, size_t codes, const char* key) {
  return supports_codes(call, spec_of(call, key), MatrixView::activation, codes, codes + 1,
                        std::nullopt);
}

Verdict supports_quantized(const Call& call) {
  return all_of(
      {supports_codes_of(call, kCodes.q, "q_spec"), supports_codes_of(call, kCodes.k, "k_spec"),
       supports_codes_of(call, kCodes.v, "v_spec"), float_inputs(call, kCodes.bias, kCodes.bias),
       supports_fused_output(call, kCodes.out_scale)});
}

size_t quantized_workspace(const Call& call, const KernelState* state) {
  Arena arena(nullptr);
  for (const size_t i : {kCodes.q, kCodes.k, kCodes.v}) {
    arena.take<float>(element_count(shape_of(call, i)));
  }
  return workspace(call, state) + arena.used();
}

// code * scale, rounded to f32 as `dequantize` does.
const float* dequantized(const Call& call, const FloatInputs& in, size_t codes, const char* key,
                         Arena& arena) {
  const Shape& shape = shape_of(call, codes);
  const ScaleGrid grid(spec_of(call, key), shape, MatrixView::activation, in[codes + 1], nullptr);
  auto* values = arena.take<float>(element_count(shape));
  const int64_t depth = shape.back();
  for_rows(depth == 0 ? 0 : leading_rows(shape), depth, [&](int64_t row) {
    for (int64_t d = 0; d < depth; ++d) {
      values[row * depth + d] = in[codes][row * depth + d] * grid.scale(row, d);
    }
  });
  return values;
}

void launch_quantized(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FusedOutput out(call, buffers, kCodes.out_scale, arena);
  const Values values{dequantized(call, in, kCodes.q, "q_spec", arena),
                      dequantized(call, in, kCodes.k, "k_spec", arena),
                      dequantized(call, in, kCodes.v, "v_spec", arena), in[kCodes.bias]};
  attend(call, kCodes, values, out);
}

}  // namespace

const Kernel kAttentionRef = {.name = "attention_ref",
                              .op = Op::attention,
                              .supports = supports,
                              .workspace = workspace,
                              .launch = launch};
const Kernel kQuantizedAttentionRef = {.name = "quantized_attention_ref",
                                       .op = Op::quantized_attention,
                                       .supports = supports_quantized,
                                       .workspace = quantized_workspace,
                                       .launch = launch_quantized};

}  // namespace octavo::cpu
