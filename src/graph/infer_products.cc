#include <algorithm>

#include "graph/infer.h"

namespace octavo::infer {
namespace {

const auto kActivations = {std::string_view("none"), std::string_view("silu"),
                           std::string_view("gelu"), std::string_view("gelu_tanh")};

// Each axis of an attention bias is the extent or 1.
void check_attention_bias(const ValueType& bias, const SymShape& full) {
  check_float(bias, "bias");
  check_rank(bias, "bias", full.size());
  for (size_t axis = 0; axis < full.size(); ++axis) {
    OCTAVO_CHECK(bias.shape[axis] == full[axis] || bias.shape[axis] == Dim(1),
                 "bias is {}, expected shape {} or 1 in place of any extent", to_string(bias),
                 to_string(full));
  }
}

}  // namespace

ValueType linear_output(const ValueType& x, const ValueType& w, DType to) {
  check_rank_at_least(x, "x", 1);
  check_rank(w, "w", 2);
  OCTAVO_CHECK(x.shape.back() == w.shape[1], "x is {} but w is {}: the last axes differ",
               to_string(x), to_string(w));
  ValueType output{to, x.shape};
  output.shape.back() = w.shape[0];
  return output;
}

void check_linear_epilogue(const ValueType& x, const ValueType& output, Operands bias_gate_residual,
                           const Attrs& attrs) {
  check_choice(attrs, "activation", kActivations);
  check_vector(bias_gate_residual[0], "bias", output.shape.back());
  check_same(bias_gate_residual[2], "residual", output);
  if (!bias_gate_residual[1]) return;
  check_rank_at_least(x, "x of a gated product", 2);
  check_same(bias_gate_residual[1], "gate",
             {output.dtype, {output.shape.front(), output.shape.back()}});
}

Results linear(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType &x = *in[0], &w = *in[1];
  check_compute(x, "x");
  check_float(w, "w");
  Results outputs{linear_output(x, w, x.dtype)};
  check_linear_epilogue(x, outputs[0], in.subspan(2, 3), attrs);
  apply_out_spec(attrs, in[5], outputs);
  return outputs;
}

ValueType conv2d_output(const ValueType& x, const ValueType& w, const Attrs& attrs, DType to) {
  check_rank(x, "x", 4);
  check_rank(w, "w", 4);
  OCTAVO_CHECK(x.shape[1] == w.shape[1], "x is {} but w is {}: the channels differ", to_string(x),
               to_string(w));
  check_positive(attrs, "stride");
  const std::vector<int64_t>& pads = attrs.get_ints("pads");
  OCTAVO_CHECK(pads.size() == 4 && *std::min_element(pads.begin(), pads.end()) >= 0,
               "attribute 'pads' must be 4 numbers from 0: top, left, bottom, right");
  const auto extent = [&](int axis, int64_t before, int64_t after) {
    const int64_t kernel = constant_extent(w.shape[static_cast<size_t>(axis)], "the kernel's size");
    const Dim room = x.shape[static_cast<size_t>(axis)] + before + after - kernel;
    OCTAVO_CHECK(!room.is_constant() || room.value() >= 0,
                 "w is {}, larger than the padded x, which is {}", to_string(w), to_string(x));
    return floor_div(room, attrs.get_int("stride")) + 1;
  };
  return {to, {x.shape[0], w.shape[0], extent(2, pads[0], pads[2]), extent(3, pads[1], pads[3])}};
}

Results conv2d(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType &x = *in[0], &w = *in[1];
  check_compute(x, "x");
  check_float(w, "w");
  const ValueType output = conv2d_output(x, w, attrs, x.dtype);
  check_vector(in[2], "bias", w.shape[0]);
  check_same(in[3], "residual", output);
  return {output};
}

void check_attention(const ValueType& q, const ValueType& k, const ValueType& v,
                     const std::optional<ValueType>& bias, const Attrs& attrs) {
  check_rank(q, "q", 4);
  check_rank(k, "k", 4);
  check_shape(k, "k", {q.shape[0], k.shape[1], k.shape[2], q.shape[3]});
  check_shape(v, "v", k.shape);
  const int64_t heads = constant_extent(q.shape[2], "q's number of heads");
  const int64_t kv_heads = constant_extent(k.shape[2], "k's number of heads");
  OCTAVO_CHECK(heads % kv_heads == 0, "q has {} heads, not a multiple of k's {}", heads, kv_heads);
  check_finite_positive(attrs, "scale");
  check_choice(attrs, "weights", {"e4m3", "e5m2", "i8"});
  if (bias) check_attention_bias(*bias, {q.shape[0], q.shape[2], q.shape[1], k.shape[1]});
}

Results attention(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& q = *in[0];
  check_compute(q, "q");
  check_attention(q, *in[1], *in[2], in[3], attrs);
  check_dtype(*in[1], "k", q.dtype);
  check_dtype(*in[2], "v", q.dtype);
  Results outputs{q};
  apply_out_spec(attrs, in[4], outputs);
  return outputs;
}

}  // namespace octavo::infer
