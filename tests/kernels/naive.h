#pragma once
// Ops evaluated the way anyone would in f32, one rounding after the other: what f32 arithmetic
// costs on given operands, and so what a kernel may cost (twice that, see agree_test.cc).
// Independent of the reference kernels.
#include "kernels/call.h"

namespace octavo::test {

// Values of output 0 before they are rounded to the output's type. Empty for ops that involve no
// f32 arithmetic (data movement, table look-ups, quantization with its own bit-exact rules).
std::optional<std::vector<float>> naive(const Call& call, const Inputs& inputs);

// The float operands that a quantized product computes with, as a linear or conv2d of f32; any
// other call as it is. Without out_spec.
struct FloatCall {
  Call call;
  Inputs inputs;
};
FloatCall dequantized(const Call& call, const Inputs& inputs);

}  // namespace octavo::test
