#include <array>

#include "graph/infer.h"

namespace octavo {
namespace {

using infer::Operands;
using Outputs = std::span<const ValueType>;
using T = AttrType;

// Pointwise work, normalisation and movement count as free.
Dim no_flops(Operands, Outputs, const Attrs&) { return 0; }
// Operand 1 or 2 is the weight: float and quantized products.
template <size_t kWeight>
Dim linear_flops(Operands in, Outputs out, const Attrs&) {
  return Dim(2) * product(out[0].shape) * in[kWeight]->shape[1];
}
template <size_t kWeight>
Dim conv2d_flops(Operands in, Outputs out, const Attrs&) {
  const SymShape& w = in[kWeight]->shape;
  return Dim(2) * product(out[0].shape) * w[1] * w[2] * w[3];
}
// Operand 1 or 2 is k.
template <size_t kKeys>
Dim attention_flops(Operands in, Outputs out, const Attrs&) {
  return Dim(4) * product(out[0].shape) * in[kKeys]->shape[1];
}

constexpr bool kRequired = true, kOptional = false;
constexpr bool kBatchParallel = true;

// In the order of Op: op, name, inputs min max, outputs, attributes, rule, cost, batch_parallel.
const std::array kOps = {
    OpInfo{Op::linear,
           "linear",
           2,
           6,
           1,
           {{"activation", T::text, kOptional}, {"out_spec", T::text, kOptional}},
           infer::linear,
           linear_flops<1>,
           kBatchParallel},
    OpInfo{Op::conv2d,
           "conv2d",
           2,
           4,
           1,
           {{"stride", T::integer, kRequired}, {"pads", T::integers, kRequired}},
           infer::conv2d,
           conv2d_flops<1>,
           kBatchParallel},
    OpInfo{Op::attention,
           "attention",
           3,
           5,
           1,
           {{"scale", T::real, kRequired},
            {"weights", T::text, kOptional},
            {"out_spec", T::text, kOptional}},
           infer::attention,
           attention_flops<1>,
           kBatchParallel},

    OpInfo{Op::rms_norm,
           "rms_norm",
           1,
           2,
           1,
           {{"eps", T::real, kRequired}},
           infer::rms_norm,
           no_flops,
           kBatchParallel},
    OpInfo{Op::layer_norm,
           "layer_norm",
           1,
           3,
           1,
           {{"eps", T::real, kRequired}},
           infer::layer_norm,
           no_flops,
           kBatchParallel},
    OpInfo{Op::group_norm,
           "group_norm",
           3,
           3,
           1,
           {{"groups", T::integer, kRequired},
            {"eps", T::real, kRequired},
            {"activation", T::text, kOptional}},
           infer::group_norm,
           no_flops,
           kBatchParallel},
    OpInfo{Op::norm_modulate,
           "norm_modulate",
           3,
           4,
           1,
           {{"eps", T::real, kRequired}, {"out_spec", T::text, kOptional}},
           infer::norm_modulate,
           no_flops,
           kBatchParallel},

    OpInfo{Op::rope, "rope", 3, 3, 1, {}, infer::rope, no_flops, kBatchParallel},
    OpInfo{Op::rope_table,
           "rope_table",
           1,
           1,
           2,
           {{"axes", T::integers, kRequired}, {"theta", T::real, kRequired}},
           infer::rope_table,
           no_flops,
           kBatchParallel},
    OpInfo{Op::qk_norm_rope,
           "qk_norm_rope",
           4,
           5,
           1,
           {{"eps", T::real, kRequired}, {"out_spec", T::text, kOptional}},
           infer::qk_norm_rope,
           no_flops,
           kBatchParallel},

    OpInfo{Op::silu, "silu", 1, 1, 1, {}, infer::unary, no_flops, kBatchParallel},
    OpInfo{Op::gelu,
           "gelu",
           1,
           2,
           1,
           {{"approximate", T::text, kRequired}, {"out_spec", T::text, kOptional}},
           infer::gelu,
           no_flops,
           kBatchParallel},
    OpInfo{Op::add, "add", 2, 2, 1, {}, infer::binary, no_flops, kBatchParallel},
    OpInfo{Op::sub, "sub", 2, 2, 1, {}, infer::binary, no_flops, kBatchParallel},
    OpInfo{Op::mul, "mul", 2, 2, 1, {}, infer::binary, no_flops, kBatchParallel},
    OpInfo{Op::div, "div", 2, 2, 1, {}, infer::binary, no_flops, kBatchParallel},
    OpInfo{Op::affine,
           "affine",
           1,
           1,
           1,
           {{"scale", T::real, kRequired}, {"shift", T::real, kRequired}},
           infer::unary,
           no_flops,
           kBatchParallel},
    OpInfo{Op::clamp,
           "clamp",
           1,
           1,
           1,
           {{"min", T::real, kRequired}, {"max", T::real, kRequired}},
           infer::unary,
           no_flops,
           kBatchParallel},
    OpInfo{Op::cast,
           "cast",
           1,
           1,
           1,
           {{"to", T::text, kRequired}},
           infer::cast,
           no_flops,
           kBatchParallel},

    OpInfo{Op::reshape,
           "reshape",
           1,
           1,
           1,
           {{"shape", T::dims, kRequired}},
           infer::reshape,
           no_flops,
           kBatchParallel},
    OpInfo{Op::transpose,
           "transpose",
           1,
           1,
           1,
           {{"perm", T::integers, kRequired}},
           infer::transpose,
           no_flops,
           kBatchParallel},
    OpInfo{Op::concat,
           "concat",
           1,
           -1,
           1,
           {{"axis", T::integer, kRequired}},
           infer::concat,
           no_flops,
           kBatchParallel},
    OpInfo{
        Op::slice,
        "slice",
        1,
        1,
        1,
        {{"axis", T::integer, kRequired}, {"begin", T::dim, kRequired}, {"end", T::dim, kRequired}},
        infer::slice,
        no_flops,
        kBatchParallel},
    OpInfo{Op::expand,
           "expand",
           1,
           1,
           1,
           {{"shape", T::dims, kRequired}},
           infer::expand,
           no_flops,
           kBatchParallel},
    OpInfo{Op::upsample_nearest,
           "upsample_nearest",
           1,
           1,
           1,
           {{"factor", T::integer, kRequired}},
           infer::upsample_nearest,
           no_flops,
           kBatchParallel},
    OpInfo{Op::embedding, "embedding", 2, 2, 1, {}, infer::embedding, no_flops, kBatchParallel},

    OpInfo{Op::timestep_embedding,
           "timestep_embedding",
           1,
           1,
           1,
           {{"dim", T::integer, kRequired},
            {"flip_sin_to_cos", T::boolean, kRequired},
            {"freq_shift", T::real, kRequired},
            {"max_period", T::real, kRequired}},
           infer::timestep_embedding,
           no_flops,
           kBatchParallel},
    // Its result has no batch axis.
    OpInfo{Op::relative_position_bias,
           "relative_position_bias",
           2,
           2,
           1,
           {{"max_distance", T::integer, kRequired}, {"bidirectional", T::boolean, kRequired}},
           infer::relative_position_bias,
           no_flops,
           !kBatchParallel},
    OpInfo{Op::mask_bias, "mask_bias", 1, 1, 1, {}, infer::mask_bias, no_flops, kBatchParallel},
    OpInfo{Op::step_scale, "step_scale", 3, 3, 1, {}, infer::step_scale, no_flops, kBatchParallel},

    OpInfo{Op::hadamard,
           "hadamard",
           1,
           1,
           1,
           {{"block", T::integer, kRequired}},
           infer::hadamard,
           no_flops,
           kBatchParallel},
    OpInfo{Op::quantize,
           "quantize",
           1,
           2,
           2,
           {{"spec", T::text, kRequired}, {"rows", T::text, kOptional}},
           infer::quantize,
           no_flops,
           kBatchParallel},
    OpInfo{
        Op::dequantize,
        "dequantize",
        2,
        3,
        1,
        {{"spec", T::text, kRequired}, {"rows", T::text, kOptional}, {"shape", T::dims, kRequired}},
        infer::dequantize,
        no_flops,
        kBatchParallel},
    OpInfo{Op::quantized_linear,
           "quantized_linear",
           4,
           9,
           1,
           {{"x_spec", T::text, kOptional},
            {"w_spec", T::text, kRequired},
            {"activation", T::text, kOptional},
            {"to", T::text, kOptional},
            {"out_spec", T::text, kOptional}},
           infer::quantized_linear,
           linear_flops<2>,
           kBatchParallel},
    OpInfo{Op::quantized_conv2d,
           "quantized_conv2d",
           4,
           7,
           1,
           {{"x_spec", T::text, kOptional},
            {"w_spec", T::text, kRequired},
            {"stride", T::integer, kRequired},
            {"pads", T::integers, kRequired},
            {"to", T::text, kOptional}},
           infer::quantized_conv2d,
           conv2d_flops<2>,
           kBatchParallel},
    OpInfo{Op::quantized_attention,
           "quantized_attention",
           6,
           8,
           1,
           {{"q_spec", T::text, kRequired},
            {"k_spec", T::text, kRequired},
            {"v_spec", T::text, kRequired},
            {"scale", T::real, kRequired},
            {"weights", T::text, kOptional},
            {"to", T::text, kOptional},
            {"out_spec", T::text, kOptional}},
           infer::quantized_attention,
           attention_flops<2>,
           kBatchParallel},
};
static_assert(kOps.size() == static_cast<size_t>(Op::count_), "an op without a row");

// Operands between min_inputs and max_inputs may be absent anywhere; those below are required,
// except that a quantized product's x_scale (operand 1) depends on its attributes.
bool may_be_absent(const OpInfo& op, size_t index) {
  const bool product = op.op == Op::quantized_linear || op.op == Op::quantized_conv2d;
  return static_cast<int>(index) >= op.min_inputs || (product && index == 1);
}

}  // namespace

std::span<const OpInfo> op_table() { return kOps; }

const OpInfo& info(Op op) {
  OCTAVO_ASSERT(op < Op::count_);
  const OpInfo& row = kOps[static_cast<size_t>(op)];
  OCTAVO_ASSERT(row.op == op);
  return row;
}

const char* name(Op op) { return info(op).name; }

std::optional<Op> find_op(std::string_view name) {
  for (const OpInfo& row : kOps) {
    if (name == row.name) return row.op;
  }
  return std::nullopt;
}

std::string to_string(const ValueType& type) {
  return fmt::format("{}{}", name(type.dtype), to_string(type.shape));
}

int output_count(const OpInfo& op, const Attrs& attrs) {
  return op.outputs + (attrs.has("out_spec") ? 1 : 0);
}

std::vector<ValueType> infer_types(Op op, std::span<const std::optional<ValueType>> inputs,
                                   const Attrs& attrs) {
  const OpInfo& row = info(op);
  const auto count = static_cast<int>(inputs.size());
  OCTAVO_CHECK(count >= row.min_inputs && (row.max_inputs < 0 || count <= row.max_inputs),
               "{} has {} operands, expected {}", row.name, count,
               row.max_inputs < 0 ? fmt::format("at least {}", row.min_inputs)
               : row.min_inputs == row.max_inputs
                   ? fmt::format("{}", row.min_inputs)
                   : fmt::format("{} to {}", row.min_inputs, row.max_inputs));
  for (size_t i = 0; i < inputs.size(); ++i) {
    OCTAVO_CHECK(inputs[i] || may_be_absent(row, i), "{}: operand {} is absent", row.name, i);
  }
  const Attrs checked = checked_attrs(row, attrs);
  std::vector<std::optional<ValueType>> padded(inputs.begin(), inputs.end());
  if (row.max_inputs > count) padded.resize(static_cast<size_t>(row.max_inputs));
  try {
    return row.infer(row, padded, checked);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", row.name, error.what()));
  }
}

}  // namespace octavo
