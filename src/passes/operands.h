#pragma once
// What the operands of an op are for. Private to this floor.
#include "graph/op.h"

namespace octavo {

enum class OperandKind : uint8_t {
  compute,     // in the compute type, or a parameter in any float type
  exact,       // f32 whatever the compute type is: angles, timesteps, attention's bias
  scale,       // of quantization: scales and zero points, never cast
  shape_only,  // read for its shape alone
};
OperandKind operand_kind(Op op, size_t operand);

// Operands of linear and conv2d and of their quantized forms behind the weight; -1 where the op has
// no such operand.
struct ProductOperands {
  int bias, gate, residual, out_scale;
};
// Error{internal} for other ops.
ProductOperands product_operands(Op op);

}  // namespace octavo
