// conv2d as f32 products; 16-bit pictures are widened first.
#include <fmt/format.h>

#include "kernels/cpu/fast/conv_product.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kW, kBias, kResidual };

Verdict supports(const Call& call) {
  const Verdict operands =
      all_of({vector_float(call, kX, "x"), is_constant_or_absent(call, kW, "w"),
              is_constant_or_absent(call, kBias, "bias")});
  if (!operands.supported) return operands;
  if (conv_extents(call, kX, kW).depth() == 0) return Verdict::no("w is empty");
  if (has(call, kResidual) && call.inputs[kResidual]->dtype != call.outputs[0].dtype) {
    return Verdict::no("the residual is not of the output's type");
  }
  return Verdict::yes();
}

std::shared_ptr<const KernelState> prepare(const Call& call) {
  auto state = std::make_shared<ConvState>();
  state->w = constant_f32(call, kW);
  state->bias = constant_f32(call, kBias);
  return state;
}

void launch(const Call& call, const KernelState* state, const Buffers& buffers) {
  run_conv(call, buffers, static_cast<const ConvState&>(*state), nullptr, 0);
}

}  // namespace

const Kernel kConv2dF32Onednn = {.name = "conv2d_f32_onednn",
                                 .op = Op::conv2d,
                                 .supports = supports,
                                 .prepare = prepare,
                                 .workspace = conv_workspace,
                                 .launch = launch};

}  // namespace octavo::cpu
