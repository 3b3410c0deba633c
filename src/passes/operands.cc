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
    {Op::norm_modulate, 3, OperandKind::scale},
    {Op::rope, 1, OperandKind::exact},
    {Op::rope, 2, OperandKind::exact},
    {Op::rope_table, 0, OperandKind::exact},
    {Op::qk_norm_rope, 2, OperandKind::exact},
    {Op::qk_norm_rope, 3, OperandKind::exact},
    {Op::gelu, 1, OperandKind::scale},
    {Op::timestep_embedding, 0, OperandKind::exact},
    {Op::relative_position_bias, 1, OperandKind::shape_only},
    {Op::mask_bias, 0, OperandKind::exact},
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
};

}  // namespace

OperandKind operand_kind(Op op, size_t operand) {
  const auto row = std::find_if(std::begin(kRows), std::end(kRows),
                                [&](const Row& r) { return r.op == op && r.operand == operand; });
  return row == std::end(kRows) ? OperandKind::compute : row->kind;
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
