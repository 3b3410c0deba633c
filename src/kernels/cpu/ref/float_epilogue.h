#pragma once
// The f32 steps behind the sum of a quantized product; quantized_linear.cc documents their order.
#include "kernels/cpu/activation.h"

namespace octavo::cpu {

struct EpilogueOperands {
  const float *bias = nullptr, *gate = nullptr, *residual = nullptr;  // of this element, or absent
};

inline float float_epilogue(double sum, float scale, Activation activation,
                            const EpilogueOperands& operands) {
  float v = static_cast<float>(sum) * scale;
  if (operands.bias) v = v + *operands.bias;
  if (activation != Activation::none) v = static_cast<float>(activate(activation, double{v}));
  if (operands.gate) v = *operands.gate * v;
  if (operands.residual) v = *operands.residual + v;
  return v;
}

inline const float* element(const float* array, int64_t i) { return array ? array + i : nullptr; }

}  // namespace octavo::cpu
