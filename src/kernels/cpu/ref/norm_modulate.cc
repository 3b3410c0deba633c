// layer_norm(x) (1 + scale) + shift with scale, shift [B, D] of the sample; optionally quantized
// (out_spec).
#include "kernels/cpu/ref/fused_output.h"
#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/row_statistics.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kScale, kShift, kOutScale };

Verdict supports(const Call& call) {
  return all_of({float_inputs(call, kX, kShift), supports_fused_output(call, kOutScale)});
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
  const double eps = call.attrs.get_double("eps");
  const int64_t d = last_dim(shape_of(call, kX)), rows = leading_rows(shape_of(call, kX));
  const SampleRows scale_rows(call, kScale, rows), shift_rows(call, kShift, rows);
  for_rows(rows, 6 * d, [&](int64_t row) {
    const float* x = in[kX] + row * d;
    const float* scale = in[kScale] + scale_rows(row) * d;
    const float* shift = in[kShift] + shift_rows(row) * d;
    const auto [mean, inverse_deviation] = moments(x, d, eps);
    for (int64_t i = 0; i < d; ++i) {
      out.set(row * d + i, (x[i] - mean) * inverse_deviation * (1.0 + scale[i]) + shift[i]);
    }
  });
  out.finish();
}

}  // namespace

const Kernel kNormModulateRef = {.name = "norm_modulate_ref",
                                 .op = Op::norm_modulate,
                                 .supports = supports,
                                 .workspace = workspace,
                                 .launch = launch};

}  // namespace octavo::cpu
