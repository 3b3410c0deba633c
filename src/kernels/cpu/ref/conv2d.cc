// Cross-correlation with zero padding. Each sum runs over (c, kh, kw) in that order, in double.
#include "kernels/cpu/ref/conv_loop.h"
#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kW, kBias, kResidual };

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  const ConvShape shape(call, kX, kW);
  const float* w = in[kW];
  const auto weight = [w](int64_t, int64_t, int64_t i) -> double { return w[i]; };
  conv_loop(shape, in[kX], weight, [&](int64_t n, int64_t at, double acc) {
    if (in[kBias]) acc += in[kBias][n];
    if (in[kResidual]) acc += in[kResidual][at];
    out.set(at, acc);
  });
}

}  // namespace

const Kernel kConv2dRef = {.name = "conv2d_ref",
                           .op = Op::conv2d,
                           .supports = supports_floats,
                           .workspace = float_inputs_workspace,
                           .launch = launch};

}  // namespace octavo::cpu
