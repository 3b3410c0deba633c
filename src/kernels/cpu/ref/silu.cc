#include "kernels/cpu/activation.h"
#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  for_rows(element_count(call.outputs[0].shape), 20,
           [&](int64_t i) { out.set(i, silu(static_cast<double>(in[0][i]))); });
}

}  // namespace

const Kernel kSiluRef = {.name = "silu_ref",
                         .op = Op::silu,
                         .supports = supports_floats,
                         .workspace = float_inputs_workspace,
                         .launch = launch,
                         .in_place = true};

}  // namespace octavo::cpu
