#pragma once
// What the linear kernels share: constant operands made ready, the epilogue from a call's operands,
// and the loop over tiles with every way to write the output.
#include "kernels/cpu/fast/gemm.h"
#include "kernels/cpu/fast/out_quant.h"
#include "kernels/cpu/fast/support.h"
#include "kernels/kernel.h"

namespace octavo::cpu {

// Where a product finds its operands in a call.
struct ProductInputs {
  size_t x, w, bias, gate, residual, out_scale;
};

struct ProductState : KernelState {
  // w in the kind's type, w_scale f32[n] or empty.
  ProductState(const Call& call, const ProductInputs& inputs, GemmKind kind, const Tensor& w,
               Tensor w_scale);
  size_t bytes() const override { return weights.bytes() + bias.bytes() + w_scale.bytes(); }

  ProductInputs inputs;
  PackedWeights weights;
  Tensor w_scale, bias;  // f32[n], or empty
  Activation activation;
  OutQuant out;
  bool x_is_widened = false;  // run_product() is given x as f32, whatever the operand's type
};

// Constants, types, activation and out_spec that the fused epilogue needs.
Verdict supports_product(const Call& call, const ProductInputs& inputs);
size_t product_workspace(const Call& call, const KernelState* state);
// x_scale: one value (stride 0) or one a row (1), or nullptr: 1. widened_x: of x_is_widened.
void run_product(const Call& call, const Buffers& buffers, const ProductState& state,
                 const float* x_scale, int64_t x_scale_stride, const float* widened_x = nullptr);

}  // namespace octavo::cpu
