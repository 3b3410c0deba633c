#pragma once
// Quantization of an op's result inside the op (attribute out_spec), as the fast kernels do it: one
// given scale for everything, or a scale found at run time for each row or for everything.
#include <optional>

#include "kernels/cpu/ref/fused_output.h"
#include "kernels/kernel.h"
#include "octavo/quant_spec.h"

namespace octavo::cpu {

enum class OutMode : uint8_t { plain, static_tensor, dynamic_row, dynamic_tensor };

struct OutQuant {
  OutMode mode = OutMode::plain;
  QuantSpec spec;
  DType format = DType::f32;
};

// The verdict on outputs and spec; `cols` is the row length.
Verdict supports_out_quant(const Call& call, const QuantSpec& spec, size_t scale_input);
// plain without a spec. Only for what supports_out_quant() accepts.
OutQuant make_out_quant(const std::optional<QuantSpec>& spec);

// Throws Error{not_finite} as the reference does.
[[noreturn]] void fail_not_finite(const Call& call, const QuantSpec& spec);
// The scale of a tile whose largest magnitude has these bits.
float dynamic_scale(const Call& call, const QuantSpec& spec, uint32_t bits);

// rows x cols of f32 or bf16 into codes and scales, spread over threads. given_scale: static only.
void quantize_rows(const Call& call, const OutQuant& quant, DType type, const void* src,
                   int64_t rows, int64_t cols, const float* given_scale, void* codes, float* scale);
// One row of dynamic_row, on this thread.
void quantize_row(const Call& call, const OutQuant& quant, DType type, const void* src,
                  int64_t cols, void* codes, float* scale);

}  // namespace octavo::cpu
