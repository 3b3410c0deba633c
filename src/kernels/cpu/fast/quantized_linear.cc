// quantized_linear on oneDNN tiles. i8 codes: exact int32 sums and the epilogue that
// ref/quantized_linear.cc documents, so bits equal the reference's wherever there is no activation.
// Other formats: codes become f32 values (exact), products are f32, scales come afterwards; scales
// along k (groups) and zero points are folded into the f32 weights.
#include <fmt/format.h>

#include "kernels/cpu/fast/convert_rows.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/isa.h"
#include "kernels/cpu/fast/product.h"
#include "kernels/cpu/ref/scale_grid.h"
#include "tensor/codec.h"

namespace octavo::cpu {
namespace {

constexpr ProductInputs kInputs{
    .x = kX, .w = kW, .bias = kBias, .gate = kBias + 1, .residual = kBias + 2, .out_scale = 8};
// Int32 sums of k products of codes cannot overflow below this.
constexpr int64_t kMaxDepth = 1 << 17;

// One scale a row of w at most.
bool scales_by_row(const Call& call) {
  const Shape& w = shape_of(call, kW);
  return w_spec(call).scale_shape(w[0], w[1])[1] <= 1;
}

// x_scale is one value or one a row of x.
Verdict supports_x_scale(const Call& call) {
  const auto spec = x_spec(call);
  if (!spec) return Verdict::yes();
  if (spec->tile_rows > 1 || spec->tile_cols != 0) {
    return Verdict::no(fmt::format("x_spec {} is neither per tensor nor per row", spec->text()));
  }
  return Verdict::yes();
}

Verdict supports_common(const Call& call) {
  return all_of({supports_quantized_operands(call, MatrixView::activation), supports_x_scale(call),
                 is_constant_or_absent(call, kWScale, "w_scale"),
                 is_constant_or_absent(call, kWZeroPoint, "w_zp"),
                 supports_product(call, kInputs)});
}

Verdict supports_integers(const Call& call) {
  if (!x_spec(call)) return Verdict::no("x is not quantized");
  for (size_t i : {kX, kW}) {
    if (call.inputs[i]->dtype != DType::i8) {
      return Verdict::no(fmt::format("codes of x and w are {} and {}, not i8",
                                     name(call.inputs[kX]->dtype), name(call.inputs[kW]->dtype)));
    }
  }
  if (has(call, kWZeroPoint)) return Verdict::no("w has a zero point");
  const Verdict common = supports_common(call);
  if (!common.supported) return common;
  if (!scales_by_row(call)) return Verdict::no("w has scales along k");
  if (shape_of(call, kW)[1] >= kMaxDepth) return Verdict::no("int32 sums could overflow");
  return Verdict::yes();
}

Verdict supports_vnni(const Call& call) {
  if (!has_exact_int8_dot()) return Verdict::no("this CPU has no exact int8 products (VNNI)");
  return supports_integers(call);
}

Verdict supports_weight_only(const Call& call) {
  if (x_spec(call)) return Verdict::no("x is quantized");
  const DType x = call.inputs[kX]->dtype;
  if (!widens_fast(x)) return Verdict::no(fmt::format("x is {}, not f32 or bf16", name(x)));
  return supports_common(call);
}

Verdict supports_emulated(const Call& call) {
  if (!x_spec(call)) return Verdict::no("x is not quantized");
  const DType x = call.inputs[kX]->dtype;
  if (!widens_fast(x)) return Verdict::no(fmt::format("no vector form decodes {}", name(x)));
  if (supports_integers(call).supported) return Verdict::no("i8 x i8 has to be exact");
  return supports_common(call);
}

// The scale of each row of w.
Tensor row_scales(const Call& call) {
  const Shape& w = shape_of(call, kW);
  const Tensor scale = call.inputs[kWScale]->constant->to(DType::f32);
  const ScaleGrid grid(w_spec(call), w, MatrixView::weight, scale.as<float>(), nullptr);
  Tensor rows = Tensor::empty(DType::f32, {w[0]});
  for (int64_t j = 0; j < w[0]; ++j) rows.as_mutable<float>()[j] = grid.scale(j, 0);
  return rows;
}

template <GemmKind kKind>
std::shared_ptr<const KernelState> prepare_integers(const Call& call) {
  return std::make_shared<ProductState>(call, kInputs, kKind, *call.inputs[kW]->constant,
                                        row_scales(call));
}

// Codes of w as f32 without their zero points, and times their scales where these change along k.
Tensor decoded_weights(const Call& call) {
  const Shape& shape = shape_of(call, kW);
  const Tensor &codes = *call.inputs[kW]->constant, &scale = *call.inputs[kWScale]->constant;
  const Tensor scales = scale.to(DType::f32), zero_points = constant_f32(call, kWZeroPoint);
  const ScaleGrid grid(w_spec(call), shape, MatrixView::weight, scales.as<float>(),
                       zero_points.as<float>());
  const bool fold = !scales_by_row(call);
  const int64_t k = shape[1], stride = row_bytes(codes.dtype(), k);
  Tensor w = Tensor::empty(DType::f32, shape);
  for (int64_t j = 0; j < shape[0]; ++j) {
    float* row = w.as_mutable<float>() + j * k;
    decode_row(codes.dtype(), codes.as<std::byte>() + j * stride, row, k);
    for (int64_t i = 0; i < k; ++i) {
      row[i] = (row[i] - grid.zero_point(j, i)) * (fold ? grid.scale(j, i) : 1.0f);
    }
  }
  return w;
}

std::shared_ptr<const KernelState> prepare_decoded(const Call& call) {
  return std::make_shared<ProductState>(call, kInputs, GemmKind::f32, decoded_weights(call),
                                        scales_by_row(call) ? row_scales(call) : Tensor());
}

void launch(const Call& call, const KernelState* state, const Buffers& buffers) {
  const auto* x_scale =
      has(call, kXScale) ? static_cast<const float*>(buffers.inputs[kXScale]) : nullptr;
  const int64_t stride = x_scale && element_count(shape_of(call, kXScale)) > 1 ? 1 : 0;
  run_product(call, buffers, static_cast<const ProductState&>(*state), x_scale, stride);
}

}  // namespace

const Kernel kQuantizedLinearI8Onednn = {.name = "quantized_linear_i8_onednn",
                                         .op = Op::quantized_linear,
                                         .supports = supports_vnni,
                                         .prepare = prepare_integers<GemmKind::i8>,
                                         .workspace = product_workspace,
                                         .launch = launch};
const Kernel kQuantizedLinearI8ViaF32 = {.name = "quantized_linear_i8_exact_f32_onednn",
                                         .op = Op::quantized_linear,
                                         .supports = supports_integers,
                                         .prepare = prepare_integers<GemmKind::i8_f32>,
                                         .workspace = product_workspace,
                                         .launch = launch};
const Kernel kQuantizedLinearWeightOnly = {.name = "quantized_linear_weight_only_f32_onednn",
                                           .op = Op::quantized_linear,
                                           .supports = supports_weight_only,
                                           .prepare = prepare_decoded,
                                           .workspace = product_workspace,
                                           .launch = launch};
const Kernel kQuantizedLinearEmulated = {.name = "quantized_linear_emulated_f32_onednn",
                                         .op = Op::quantized_linear,
                                         .supports = supports_emulated,
                                         .prepare = prepare_decoded,
                                         .workspace = product_workspace,
                                         .launch = launch};

}  // namespace octavo::cpu
