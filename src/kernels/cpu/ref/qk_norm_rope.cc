// rope(rms_norm(x, w)) without rounding between the two; optionally quantized (out_spec).
#include "kernels/cpu/ref/fused_output.h"
#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/rotation.h"
#include "kernels/cpu/ref/row_statistics.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kW, kCos, kSin, kOutScale };

Verdict supports(const Call& call) {
  return all_of({float_inputs(call, kX, kSin), supports_fused_output(call, kOutScale)});
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
  const Shape& shape = shape_of(call, kX);
  const int64_t depth = shape[3];
  for_rows(leading_rows(shape), 10 * depth, [&](int64_t row) {
    const float* x = in[kX] + row * depth;
    const double factor = inverse_rms(x, depth, eps);
    const int64_t at = rotation_offset(shape, row);
    const auto normed = [&](int64_t i) { return x[i] * factor * in[kW][i]; };
    rotate_row(normed, in[kCos] + at, in[kSin] + at, depth,
               [&](int64_t i, double y) { out.set(row * depth + i, y); });
  });
  out.finish();
}

}  // namespace

const Kernel kQkNormRopeRef = {.name = "qk_norm_rope_ref",
                               .op = Op::qk_norm_rope,
                               .supports = supports,
                               .workspace = workspace,
                               .launch = launch,
                               .in_place = true};

}  // namespace octavo::cpu
