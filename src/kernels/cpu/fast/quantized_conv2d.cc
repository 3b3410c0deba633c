// quantized_conv2d: exact int32 sums of i8 codes, or f32 products of decoded codes; scales, bias
// and residual afterwards in the order that ref/quantized_linear.cc documents.
#include <fmt/format.h>

#include "kernels/cpu/fast/conv_product.h"
#include "kernels/cpu/fast/convert_rows.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/isa.h"
#include "kernels/cpu/fast/quantized_weights.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

constexpr size_t kResidual = kBias + 1;

Verdict supports_common(const Call& call) {
  const Verdict operands =
      all_of({supports_quantized_operands(call, MatrixView::weight), supports_x_scale(call),
              is_constant_or_absent(call, kW, "w"), is_constant_or_absent(call, kBias, "bias"),
              is_constant_or_absent(call, kWScale, "w_scale"),
              is_constant_or_absent(call, kWZeroPoint, "w_zp")});
  if (!operands.supported) return operands;
  if (conv_extents(call, kX, kW).depth() == 0) return Verdict::no("w is empty");
  const DType out = call.outputs[0].dtype;
  if (!is_vector_float(out)) {
    return Verdict::no(fmt::format("the output is {}, not f32 or bf16", name(out)));
  }
  if (has(call, kResidual) && call.inputs[kResidual]->dtype != out) {
    return Verdict::no("the residual is not of the output's type");
  }
  return Verdict::yes();
}

Verdict supports_integers(const Call& call) {
  const Verdict sums = supports_integer_sums(call);
  return sums.supported ? supports_common(call) : sums;
}

Verdict supports_vnni(const Call& call) {
  if (!has_exact_int8_dot()) return Verdict::no("this CPU has no exact int8 products (VNNI)");
  return supports_integers(call);
}

// Weight-only, and codes that are not i8.
Verdict supports_decoded(const Call& call) {
  const DType x = call.inputs[kX]->dtype;
  if (!widens_fast(x)) return Verdict::no(fmt::format("no vector form decodes {}", name(x)));
  if (supports_integer_sums(call).supported) return Verdict::no("i8 by i8 has to be exact");
  return supports_common(call);
}

Verdict supports_weight_only(const Call& call) {
  return x_spec(call) ? Verdict::no("x is quantized") : supports_decoded(call);
}
Verdict supports_emulated(const Call& call) {
  return x_spec(call) ? supports_decoded(call) : Verdict::no("x is not quantized");
}

std::shared_ptr<const KernelState> make_state(const Call& call, GemmKind kind, Tensor w) {
  auto state = std::make_shared<ConvState>();
  state->kind = kind;
  state->w = std::move(w);
  if (scales_by_row(call)) state->w_scale = row_scales(call);
  state->bias = constant_f32(call, kBias);
  state->w_input = kW;
  state->residual_input = kResidual;
  return state;
}

std::shared_ptr<const KernelState> prepare_vnni(const Call& call) {
  return make_state(call, GemmKind::i8, *call.inputs[kW]->constant);
}
std::shared_ptr<const KernelState> prepare_exact_f32(const Call& call) {
  return make_state(call, GemmKind::i8_f32, decoded_weights(call));
}
std::shared_ptr<const KernelState> prepare_decoded(const Call& call) {
  return make_state(call, GemmKind::f32, decoded_weights(call));
}

void launch(const Call& call, const KernelState* state, const Buffers& buffers) {
  run_conv(call, buffers, static_cast<const ConvState&>(*state),
           static_cast<const float*>(data_of(call, buffers, kXScale)), x_scale_stride(call));
}

constexpr Kernel kernel(const char* name, Verdict (*supports)(const Call&),
                        std::shared_ptr<const KernelState> (*prepare)(const Call&)) {
  return {.name = name,
          .op = Op::quantized_conv2d,
          .supports = supports,
          .prepare = prepare,
          .workspace = conv_workspace,
          .launch = launch};
}

}  // namespace

const Kernel kQuantizedConv2dI8Onednn =
    kernel("quantized_conv2d_i8_onednn", supports_vnni, prepare_vnni);
const Kernel kQuantizedConv2dI8ViaF32 =
    kernel("quantized_conv2d_i8_exact_f32_onednn", supports_integers, prepare_exact_f32);
const Kernel kQuantizedConv2dWeightOnly =
    kernel("quantized_conv2d_weight_only_f32_onednn", supports_weight_only, prepare_decoded);
const Kernel kQuantizedConv2dEmulated =
    kernel("quantized_conv2d_emulated_f32_onednn", supports_emulated, prepare_decoded);

}  // namespace octavo::cpu
