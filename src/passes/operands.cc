#include "passes/operands.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace octavo {
namespace {

struct Row {
  Op op;
  size_t operand;
  OperandKind kind;
};
// All others are of kind compute.
constexpr Row kRows[] = {
    {Op::linear, 5, OperandKind::scale},
    {Op::attention, 3, OperandKind::exact},
    {Op::attention, 4, OperandKind::scale},
    {Op::norm_modulate, 3, OperandKind::scale},
    {Op::rope, 1, OperandKind::exact},
    {Op::rope, 2, OperandKind::exact},
    {Op::rope_table, 0, OperandKind::exact},
    {Op::qk_norm_rope, 2, OperandKind::exact},
    {Op::qk_norm_rope, 3, OperandKind::exact},
    {Op::qk_norm_rope, 4, OperandKind::scale},
    {Op::gelu, 1, OperandKind::scale},
    {Op::timestep_embedding, 0, OperandKind::exact},
    {Op::relative_position_bias, 1, OperandKind::shape_only},
    {Op::mask_bias, 0, OperandKind::exact},
    {Op::step_scale, 0, OperandKind::exact},
    {Op::step_scale, 1, OperandKind::scale},
    {Op::step_scale, 2, OperandKind::scale},
    {Op::quantize, 1, OperandKind::scale},
    {Op::dequantize, 1, OperandKind::scale},
    {Op::dequantize, 2, OperandKind::scale},
    {Op::quantized_linear, 1, OperandKind::scale},
    {Op::quantized_linear, 3, OperandKind::scale},
    {Op::quantized_linear, 4, OperandKind::scale},
    {Op::quantized_linear, 8, OperandKind::scale},
    {Op::quantized_conv2d, 1, OperandKind::scale},
    {Op::quantized_conv2d, 3, OperandKind::scale},
    {Op::quantized_conv2d, 4, OperandKind::scale},
    {Op::quantized_attention, 1, OperandKind::scale},
    {Op::quantized_attention, 3, OperandKind::scale},
    {Op::quantized_attention, 5, OperandKind::scale},
    {Op::quantized_attention, 6, OperandKind::exact},
    {Op::quantized_attention, 7, OperandKind::scale},
};

}  // namespace

OperandKind operand_kind(Op op, size_t operand) {
  const auto row = std::find_if(std::begin(kRows), std::end(kRows),
                                [&](const Row& r) { return r.op == op && r.operand == operand; });
  return row == std::end(kRows) ? OperandKind::compute : row->kind;
}

bool writes_codes(Op op, const QuantSpec& spec, bool attention) {
  constexpr Op kAlways[] = {Op::norm_modulate, Op::linear, Op::quantized_linear, Op::gelu};
  constexpr Op kAttention[] = {Op::qk_norm_rope, Op::attention, Op::quantized_attention};
  const auto among = [&](const auto& ops) {
    return std::find(std::begin(ops), std::end(ops), op) != std::end(ops);
  };
  if (!among(kAlways) && !(attention && among(kAttention))) return false;
  if (spec.tile_cols != 0) return false;
  if (spec.timing == QuantSpec::Timing::static_) return spec.tile_rows == 0;
  return op == Op::norm_modulate && spec.tile_rows == 1;
}

ProductOperands product_operands(Op op) {
  switch (op) {
    case Op::linear:
      return {2, 3, 4, 5};
    case Op::conv2d:
      return {2, -1, 3, -1};
    case Op::quantized_linear:
      return {5, 6, 7, 8};
    case Op::quantized_conv2d:
      return {5, -1, 6, -1};
    default:
      OCTAVO_ASSERT(false);
  }
}

}  // namespace octavo
