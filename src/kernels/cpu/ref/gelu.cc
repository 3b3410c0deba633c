// gelu {approximate = tanh | none}, optionally quantized (out_spec).
#include "kernels/cpu/activation.h"
#include "kernels/cpu/ref/fused_output.h"
#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kOutScale };

Verdict supports(const Call& call) {
  return all_of({float_inputs(call, kX, kX), supports_fused_output(call, kOutScale)});
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
  const bool tanh = call.attrs.get_string("approximate") == "tanh";
  for_rows(element_count(call.outputs[0].shape), 40, [&](int64_t i) {
    const double x = in[kX][i];
    out.set(i, tanh ? gelu_tanh(x) : gelu(x));
  });
  out.finish();
}

}  // namespace

const Kernel kGeluRef = {.name = "gelu_ref",
                         .op = Op::gelu,
                         .supports = supports,
                         .workspace = workspace,
                         .launch = launch,
                         .in_place = true};

}  // namespace octavo::cpu
