// The convolution over dequantized operands. The order of the float steps is that of
// quantized_linear.cc (no activation, no gate), with the same claim for i8 by i8. x's scales are
// per tensor or per sample. Where w's scales change inside a filter (groups), the sum runs over
// x_code *
// ((w_code - w_zp) * w_scale) in double and s is x_scale alone.
#include <fmt/format.h>

#include "kernels/cpu/ref/conv_loop.h"
#include "kernels/cpu/ref/float_epilogue.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/scale_grid.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kResidual = kBias + 1 };

Verdict supports(const Call& call) {
  const Verdict operands =
      all_of({supports_quantized_operands(call, MatrixView::weight), compute_outputs(call)});
  if (!operands.supported) return operands;
  const auto spec = x_spec(call);
  if (spec && shape_of(call, kXScale)[1] > 1) {
    return Verdict::no(fmt::format("x_spec {} has several scales within a sample", spec->text()));
  }
  return Verdict::yes();
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  const ConvShape shape(call, kX, kW);
  const ScaleGrid x_scales = x_grid(call, in, MatrixView::weight), w_scales = w_grid(call, in);
  const bool grouped = w_scales.tiles_across() > 1;
  const auto weight = [&, w = in[kW]](int64_t n, int64_t tap, int64_t i) -> double {
    const double code = double{w[i]} - w_scales.zero_point(n, tap);
    return grouped ? code * w_scales.scale(n, tap) : code;
  };
  const int64_t sample = shape.filters * shape.out_height * shape.out_width;
  conv_loop(shape, in[kX], weight, [&](int64_t n, int64_t at, double sum) {
    const float x_scale = x_scales.scale(at / sample, 0);
    const float scale = grouped ? x_scale : x_scale * w_scales.scale(n, 0);
    const EpilogueOperands operands{element(in[kBias], n), nullptr, element(in[kResidual], at)};
    out.set(at, float_epilogue(sum, scale, Activation::none, operands));
  });
}

}  // namespace

const Kernel kQuantizedConv2dRef = {.name = "quantized_conv2d_ref",
                                    .op = Op::quantized_conv2d,
                                    .supports = supports,
                                    .workspace = float_inputs_workspace,
                                    .launch = launch};

}  // namespace octavo::cpu
