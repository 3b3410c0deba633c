// The row of quantized_linear for 16-bit activations and weights of i8, e4m3 or i4 on Hopper. What
// it refuses (other types, groups that do not fill stages, rows that are not multiples of 16 bytes,
// outputs that are quantized) is left to the products that unpack weights in memory.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/product_form.h"
#include "kernels/cuda/sm90/gemm_mixed.h"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

using sm90::GroupScale;
using sm90::MixedCode;
using sm90::MixedGemm;

constexpr int kArch = 90, kAlignment = 16;
constexpr ProductInputs kIn = kQuantizedLinearInputs;

std::optional<MixedCode> code_of(DType dtype) {
  if (dtype == DType::i8) return MixedCode::i8;
  if (dtype == DType::e4m3) return MixedCode::e4m3;
  if (dtype == DType::i4) return MixedCode::i4;
  return std::nullopt;
}

GroupScale scale_type(DType dtype) {
  return dtype == DType::f32   ? GroupScale::f32
         : dtype == DType::f16 ? GroupScale::f16
                               : GroupScale::bf16;
}

// Types and extents; addresses where there are buffers.
MixedGemm describe(const Call& call, const Buffers* buffers) {
  const auto at = [&](size_t i) { return buffers ? address(call, *buffers, i) : nullptr; };
  const Shape &x = shape_of(call, kIn.x), &w = shape_of(call, kIn.w);
  MixedGemm g;
  g.code = *code_of(dtype_of(call, kIn.w));
  g.m = 1;
  for (size_t axis = 0; axis + 1 < x.size(); ++axis) g.m *= x[axis];
  g.n = w[0], g.k = x.back();
  g.x = at(kIn.x), g.w = at(kIn.w), g.y = buffers ? buffers->outputs[0] : nullptr;
  g.y_pitch = call.outputs[0].row_pitch;
  sm90::Epilogue& e = g.epilogue;
  const QuantSpec spec = *spec_of(call, "w_spec");
  if (g.code == MixedCode::i4) {
    g.groups = {spec.tile_cols ? spec.tile_cols : g.k, scale_type(dtype_of(call, kIn.w_scale)),
                at(kIn.w_scale), static_cast<const float*>(at(kIn.w_zp))};
  } else {
    e.w_scale = static_cast<const float*>(at(kIn.w_scale));
    e.w_by_row = spec.tile_rows == 1;
  }
  e.bias = at(kIn.bias);
  e.bias_bytes = has(call, kIn.bias) ? info(dtype_of(call, kIn.bias)).bits / 8 : 4;
  e.activation = static_cast<sm90::Activation>(activation_of(call));
  e.gate = at(kIn.gate), e.residual = at(kIn.residual);
  if (has(call, kIn.gate)) {
    const int64_t samples = std::max<int64_t>(1, shape_of(call, kIn.gate)[0]);
    e.rows_per_sample = static_cast<int>(std::max<int64_t>(1, g.m / samples));
  }
  return g;
}

Verdict supports_scales(const Call& call, MixedCode code) {
  const QuantSpec spec = *spec_of(call, "w_spec");
  const DType scale = dtype_of(call, kIn.w_scale);
  if (code == MixedCode::i4) {
    if (spec.tile_rows != 1) return Verdict::no("scales of i4 cover more than a row");
    if (!is_compute_type(scale)) return Verdict::no(fmt::format("scales are {}", name(scale)));
    return Verdict::yes();
  }
  if (spec.tile_cols != 0 || spec.tile_rows > 1 || has(call, kIn.w_zp)) {
    return Verdict::no("8-bit codes with zero points or scales that change along k");
  }
  if (scale != DType::f32) return Verdict::no(fmt::format("scales are {}, not f32", name(scale)));
  return Verdict::yes();
}

Verdict supports_types(const Call& call) {
  if (call.attrs.has("x_spec")) return Verdict::no("x is quantized");
  if (call.attrs.has("out_spec")) return Verdict::no("does not quantize its output");
  for (const size_t i : {kIn.x, kIn.gate, kIn.residual}) {
    if (has(call, i) && dtype_of(call, i) != DType::bf16) {
      return Verdict::no(fmt::format("input {} is {}, not bf16", i, name(dtype_of(call, i))));
    }
  }
  if (call.outputs[0].dtype != DType::bf16) {
    return Verdict::no(fmt::format("the output is {}, not bf16", name(call.outputs[0].dtype)));
  }
  if (has(call, kIn.bias) && dtype_of(call, kIn.bias) != DType::f32 &&
      dtype_of(call, kIn.bias) != DType::bf16) {
    return Verdict::no(fmt::format("the bias is {}", name(dtype_of(call, kIn.bias))));
  }
  return Verdict::yes();
}

Verdict supports(const Call& call, bool rounds) {
  if (device_info(call).arch != kArch) return Verdict::no("runs on compute capability 9.0 only");
  const auto code = code_of(dtype_of(call, kIn.w));
  if (!code || (*code == MixedCode::i4) != rounds) {
    return Verdict::no(fmt::format("w is {}", name(dtype_of(call, kIn.w))));
  }
  Verdict v = supports_types(call);
  if (v.supported) v = supports_epilogue(call, kIn);
  if (v.supported) v = supports_scales(call, *code);
  if (!v.supported) return v;
  const std::string refusal = gemm_mixed_refusal(describe(call, nullptr), true);
  return refusal.empty() ? Verdict::yes() : Verdict::no(refusal);
}

// Calls without extents to multiply have been refused, so every member has tiles.
void launch_all(std::span<const GroupMember> members) {
  std::vector<MixedGemm> gemms;
  for (const GroupMember& member : members) {
    gemms.push_back(describe(*member.call, &member.buffers));
    const std::string refusal = gemm_mixed_refusal(gemms.back());
    if (!refusal.empty()) fail(*member.call, refusal);
  }
  const Call& call = *members.front().call;
  const int processors = device_info(call).processors;
  check(run_gemms(gemms, choose_variant(gemms, processors), processors, stream_of(call)),
        call.name.c_str());
}

void launch(const Call& call, const KernelState* state, const Buffers& buffers) {
  const GroupMember member{&call, state, buffers};
  launch_all({&member, 1});
}

// One code, and one variant for all: activations that only narrow tiles know stay by themselves.
bool can_group(std::span<const Call* const> calls) {
  if (calls.size() > static_cast<size_t>(sm90::kMixedMembers)) return false;
  return std::all_of(calls.begin(), calls.end(), [&](const Call* call) {
    const Activation a = activation_of(*call);
    return dtype_of(*call, kIn.w) == dtype_of(*calls.front(), kIn.w) &&
           (calls.size() == 1 || a == Activation::none || a == Activation::gelu_tanh);
  });
}

}  // namespace

// Codes of 8 bits are bf16 values; those of i4 times their group's scale are rounded to such.
const Kernel kQuantizedLinearMixedSm90 = {
    .name = "quantized_linear_codes_as_bf16_sm90",
    .op = Op::quantized_linear,
    .supports = [](const Call& call) { return supports(call, false); },
    .launch = launch,
    .alignment = kAlignment,
    .pitched_output = true,
    .can_group = can_group,
    .launch_group = launch_all};
const Kernel kQuantizedLinearI4Sm90 = {
    .name = "quantized_linear_i4_rounded_to_bf16_sm90",
    .op = Op::quantized_linear,
    .supports = [](const Call& call) { return supports(call, true); },
    .launch = launch,
    .alignment = kAlignment,
    .pitched_output = true,
    .can_group = can_group,
    .launch_group = launch_all};

}  // namespace octavo::cuda
