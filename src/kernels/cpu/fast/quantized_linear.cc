// quantized_linear on oneDNN tiles. i8 codes: exact int32 sums and the epilogue that
// ref/quantized_linear.cc documents, so bits equal the reference's wherever there is no activation.
// Other formats: codes become f32 values (exact), products are f32, scales come afterwards; scales
// along k (groups) and zero points are folded into the f32 weights. Where x has such scales, or
// codes of fewer than 8 bits, its values are put into the workspace first.
#include <fmt/format.h>

#include "kernels/cpu/fast/convert_rows.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/isa.h"
#include "kernels/cpu/fast/product.h"
#include "kernels/cpu/fast/quantized_weights.h"

namespace octavo::cpu {
namespace {

constexpr ProductInputs kInputs{
    .x = kX, .w = kW, .bias = kBias, .gate = kBias + 1, .residual = kBias + 2, .out_scale = 8};

Verdict supports_common(const Call& call) {
  return all_of({supports_quantized_operands(call, MatrixView::activation), supports_x_scale(call),
                 is_constant_or_absent(call, kWScale, "w_scale"),
                 is_constant_or_absent(call, kWZeroPoint, "w_zp"),
                 supports_product(call, kInputs)});
}

Verdict supports_integers(const Call& call) {
  const Verdict sums = supports_integer_sums(call);
  return sums.supported ? supports_common(call) : sums;
}

Verdict supports_vnni(const Call& call) {
  if (!has_exact_int8_dot()) return Verdict::no("this CPU has no exact int8 products (VNNI)");
  return supports_integers(call);
}

Verdict supports_weight_only(const Call& call) {
  if (x_spec(call)) return Verdict::no("x is quantized");
  const Verdict x = vector_float(call, kX, "x");
  return x.supported ? supports_common(call) : x;
}

Verdict supports_emulated(const Call& call) {
  if (!x_spec(call)) return Verdict::no("x is not quantized");
  const DType x = call.inputs[kX]->dtype;
  if (!widens_fast(x)) return Verdict::no(fmt::format("no vector form decodes {}", name(x)));
  if (supports_integer_sums(call).supported) return Verdict::no("i8 by i8 has to be exact");
  return supports_common(call);
}

Verdict supports_any_codes(const Call& call) {
  if (!x_spec(call)) return Verdict::no("x is not quantized");
  if (call.inputs[kXScale]->dtype != DType::f32) return Verdict::no("x_scale is not f32");
  if (supports_integer_sums(call).supported) return Verdict::no("i8 by i8 has to be exact");
  return all_of({supports_quantized_operands(call, MatrixView::activation),
                 is_constant_or_absent(call, kWScale, "w_scale"),
                 is_constant_or_absent(call, kWZeroPoint, "w_zp"),
                 supports_product(call, kInputs)});
}

template <GemmKind kKind>
std::shared_ptr<const KernelState> prepare_integers(const Call& call) {
  return std::make_shared<ProductState>(call, kInputs, kKind, *call.inputs[kW]->constant,
                                        row_scales(call));
}

std::shared_ptr<const KernelState> prepare_decoded(const Call& call) {
  return std::make_shared<ProductState>(call, kInputs, GemmKind::f32, decoded_weights(call),
                                        scales_by_row(call) ? row_scales(call) : Tensor());
}

std::shared_ptr<const KernelState> prepare_widened(const Call& call) {
  auto state = std::make_shared<ProductState>(call, kInputs, GemmKind::f32, decoded_weights(call),
                                              scales_by_row(call) ? row_scales(call) : Tensor());
  state->x_is_widened = true;
  return state;
}

size_t widened_bytes(const Call& call) {
  Arena counted(nullptr);
  counted.take<float>(element_count(shape_of(call, kX)));
  return counted.used();
}

size_t widened_workspace(const Call& call, const KernelState* state) {
  return widened_bytes(call) + product_workspace(call, state);
}

void launch_widened(const Call& call, const KernelState* state, const Buffers& buffers) {
  auto* x = static_cast<float*>(buffers.workspace);
  dequantize_x(call, buffers.inputs[kX], static_cast<const float*>(buffers.inputs[kXScale]), x);
  Buffers rest = buffers;
  rest.workspace = static_cast<std::byte*>(buffers.workspace) + widened_bytes(call);
  run_product(call, rest, static_cast<const ProductState&>(*state), nullptr, 0, x);
}

void launch(const Call& call, const KernelState* state, const Buffers& buffers) {
  run_product(call, buffers, static_cast<const ProductState&>(*state),
              static_cast<const float*>(data_of(call, buffers, kXScale)), x_scale_stride(call));
}

constexpr Kernel kernel(const char* name, Verdict (*supports)(const Call&),
                        std::shared_ptr<const KernelState> (*prepare)(const Call&)) {
  return {.name = name,
          .op = Op::quantized_linear,
          .supports = supports,
          .prepare = prepare,
          .workspace = product_workspace,
          .launch = launch};
}

}  // namespace

const Kernel kQuantizedLinearI8Onednn =
    kernel("quantized_linear_i8_onednn", supports_vnni, prepare_integers<GemmKind::i8>);
const Kernel kQuantizedLinearI8ViaF32 = kernel(
    "quantized_linear_i8_exact_f32_onednn", supports_integers, prepare_integers<GemmKind::i8_f32>);
const Kernel kQuantizedLinearWeightOnly =
    kernel("quantized_linear_weight_only_f32_onednn", supports_weight_only, prepare_decoded);
const Kernel kQuantizedLinearEmulated =
    kernel("quantized_linear_emulated_f32_onednn", supports_emulated, prepare_decoded);
const Kernel kQuantizedLinearWidened = {.name = "quantized_linear_widened_f32_onednn",
                                        .op = Op::quantized_linear,
                                        .supports = supports_any_codes,
                                        .prepare = prepare_widened,
                                        .workspace = widened_workspace,
                                        .launch = launch_widened};

}  // namespace octavo::cpu
