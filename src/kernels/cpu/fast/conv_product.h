#pragma once
// Convolutions as products of the weights [filters, taps] with im2col tiles [taps, pixels], which
// gives NCHW rows directly. Tiles depend on the extents only.
#include "kernels/cpu/fast/gemm.h"
#include "kernels/cpu/fast/im2col.h"
#include "kernels/kernel.h"

namespace octavo::cpu {

struct ConvState : KernelState {
  size_t bytes() const override { return w.bytes() + w_scale.bytes() + bias.bytes(); }

  GemmKind kind = GemmKind::f32;  // f32, i8 or i8_f32
  Tensor w;                       // [filters, ...] in the kind's type (f32 for i8_f32)
  Tensor w_scale, bias;           // f32[filters], or empty
  size_t x_input = 0, w_input = 1, residual_input = 3;
};

ConvExtents conv_extents(const Call& call, size_t x, size_t w);
// x as f32, where the products want that and x is something else.
size_t conv_workspace(const Call& call, const KernelState* state);
// x_scale: one value (stride 0) or one a sample (1), or nullptr: no scales.
void run_conv(const Call& call, const Buffers& buffers, const ConvState& state,
              const float* x_scale, int64_t x_scale_stride);

}  // namespace octavo::cpu
