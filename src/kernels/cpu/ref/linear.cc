// y = act(x w^T + bias); y = residual + gate * y, all in double; rounded once to the output's type,
// or to f32 and then quantized (out_spec).
#include "base/check.h"
#include "kernels/cpu/activation.h"
#include "kernels/cpu/ref/fused_output.h"
#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/product.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kW, kBias, kGate, kResidual, kOutScale };

Verdict supports(const Call& call) {
  return all_of({float_inputs(call, kX, kResidual), supports_activation(call),
                 supports_fused_output(call, kOutScale)});
}

size_t workspace(const Call& call, const KernelState*) {
  Arena arena(nullptr);
  count_float_inputs(call, arena);
  count_fused_output(call, arena);
  return arena.used();
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FusedOutput out(call, buffers, kOutScale, arena);
  const Activation activation = activation_of(call);
  const int64_t rows = leading_rows(shape_of(call, kX)), k = last_dim(shape_of(call, kX));
  const int64_t n = last_dim(call.outputs[0].shape);
  const SampleRows gate_rows(call, kGate, rows);
  for_rows(rows, k * n, [&](int64_t row) {
    double* y = scratch(n);
    dot_rows(in[kX] + row * k, in[kW], k, k, n, y);
    for (int64_t j = 0; j < n; ++j) {
      double v = in[kBias] ? y[j] + in[kBias][j] : y[j];
      v = activate(activation, v);
      if (in[kGate]) v *= in[kGate][gate_rows(row) * n + j];
      if (in[kResidual]) v += in[kResidual][row * n + j];
      out.set(row * n + j, v);
    }
  });
  out.finish();
}

}  // namespace

const Kernel kLinearRef = {.name = "linear_ref",
                           .op = Op::linear,
                           .supports = supports,
                           .workspace = workspace,
                           .launch = launch};

}  // namespace octavo::cpu
