#pragma once
// Quantization of activations at run time, with the arithmetic of tensor/quantize.h bit for bit:
// absmax of a tile -> scale, rounded to its format -> code = encode(x / scale), all in f32. Error
// {not_finite}: a dynamic scale of values that are not all finite, a NaN in a format without NaN.
// Infinity under a static scale saturates.
#include "kernels/cpu/ref/operands.h"
#include "octavo/quant_spec.h"
#include "tensor/quantize.h"

namespace octavo::cpu {

// outputs = (codes, f32 scale); a static spec needs input `scale_input` like the latter.
Verdict supports_quantized_output(const Call& call, const QuantSpec& spec, size_t scale_input);

// src: outputs[0]'s elements. given_scale: f32, of a static spec; else nullptr.
void quantize_matrix(const Call& call, const QuantSpec& spec, MatrixView view, const float* src,
                     const void* given_scale, const Buffers& buffers);

}  // namespace octavo::cpu
