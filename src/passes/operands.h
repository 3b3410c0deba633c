#pragma once
// What the operands of an op are for. Private to this floor.
#include "graph/op.h"
#include "octavo/quant_spec.h"

namespace octavo {

enum class OperandKind : uint8_t {
  compute,     // in the compute type, or a parameter in any float type
  exact,       // f32 whatever the compute type is: angles, timesteps, attention's bias
  scale,       // of quantization: scales and zero points, never cast
  shape_only,  // read for its shape alone
};
OperandKind operand_kind(Op op, size_t operand);

// Whether the op can write its first output as codes of this spec (attribute out_spec); attention
// and qk_norm_rope only with `attention` (pass.h). One scale
// for the whole tensor must be known beforehand (static); a scale per row may be dynamic where one
// kernel sees the whole row, which is norm_modulate.
bool writes_codes(Op op, const QuantSpec& spec, bool attention);

// Operands of linear and conv2d and of their quantized forms behind the weight; -1 where the op has
// no such operand.
struct ProductOperands {
  int bias, gate, residual, out_scale;
};
// Error{internal} for other ops.
ProductOperands product_operands(Op op);

}  // namespace octavo
