// The rows of linear and quantized_linear that are made of the sm90 product with its fused
// epilogue. What they refuse (other types, scales along k, rows that are not multiples of 16 bytes,
// quantized outputs whose scale is found at run time) is left to the library products.
#include <fmt/format.h>

#include <vector>

#include "base/check.h"
#include "base/env.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/product_form.h"
#include "kernels/cuda/sm90/gemm.h"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

using sm90::Element;
using sm90::Gemm;
using sm90::Output;

constexpr int64_t kManyRows = 1024;
constexpr int kArch = 90, kAlignment = 16;

DType type_of(Element element) {
  return element == Element::bf16   ? DType::bf16
         : element == Element::e4m3 ? DType::e4m3
                                    : DType::i8;
}

struct Extents {
  int64_t m, n, k;
};
Extents extents_of(const Call& call, const ProductInputs& in) {
  const Shape &x = shape_of(call, in.x), &w = shape_of(call, in.w);
  int64_t m = 1;
  for (size_t axis = 0; axis + 1 < x.size(); ++axis) m *= x[axis];
  return {m, w[0], x.back()};
}

Output output_of(const Call& call) {
  if (call.attrs.has("out_spec")) return Output::codes;
  return call.outputs[0].dtype == DType::bf16 ? Output::bf16 : Output::f32;
}

// Types and extents; addresses where there are buffers.
Gemm describe(const Call& call, const ProductInputs& in, Element element, const Buffers* buffers) {
  const Extents extents = extents_of(call, in);
  const auto at = [&](size_t i) { return buffers ? address(call, *buffers, i) : nullptr; };
  Gemm g;
  g.element = element, g.output = output_of(call), g.y_pitch = call.outputs[0].row_pitch;
  g.m = extents.m, g.n = extents.n, g.k = extents.k;
  g.x = at(in.x), g.w = at(in.w), g.y = buffers ? buffers->outputs[0] : nullptr;
  sm90::Epilogue& e = g.epilogue;
  if (element != Element::bf16) {
    e.x_scale = static_cast<const float*>(at(in.x_scale));
    e.w_scale = static_cast<const float*>(at(in.w_scale));
    e.x_by_row = scaling_of(spec_of(call, "x_spec"), false, g.m, g.k).row_stride == 1;
    e.w_by_row = scaling_of(spec_of(call, "w_spec"), false, g.n, g.k).row_stride == 1;
  }
  e.bias = at(in.bias),
  e.bias_bytes = has(call, in.bias) ? info(dtype_of(call, in.bias)).bits / 8 : 4;
  e.activation = static_cast<sm90::Activation>(activation_of(call));
  e.gate = at(in.gate), e.residual = at(in.residual);
  if (has(call, in.gate)) {
    e.rows_per_sample = static_cast<int>(std::max<int64_t>(1, g.m / shape_of(call, in.gate)[0]));
  }
  if (g.output == Output::codes && buffers) {
    e.out_scale = static_cast<const float*>(at(in.out_scale));
    e.out_scale_copy = static_cast<float*>(buffers->outputs[1]);
    e.not_finite = not_finite_flag(call);
  }
  return g;
}

Verdict supports_operands(const Call& call, const ProductInputs& in, Element element) {
  const DType type = type_of(element);
  for (const size_t i : {in.x, in.w}) {
    if (dtype_of(call, i) != type) {
      return Verdict::no(
          fmt::format("input {} is {}, not {}", i, name(dtype_of(call, i)), name(type)));
    }
  }
  if (element == Element::bf16) return Verdict::yes();
  const Extents e = extents_of(call, in);
  const auto x_spec = spec_of(call, "x_spec"), w_spec = spec_of(call, "w_spec");
  if (!x_spec) return Verdict::no("x is not quantized");
  if (scaling_of(x_spec, false, e.m, e.k).by_value ||
      scaling_of(w_spec, has(call, in.w_zp), e.n, e.k).by_value) {
    return Verdict::no("zero points, or scales that change along k or cover several rows");
  }
  for (const size_t i : {in.x_scale, in.w_scale}) {
    if (dtype_of(call, i) != DType::f32) {
      return Verdict::no(fmt::format("scales are {}, not f32", name(dtype_of(call, i))));
    }
  }
  return Verdict::yes();
}

Verdict supports_output(const Call& call, const ProductInputs& in, Element element) {
  if (const auto spec = spec_of(call, "out_spec")) {
    if (element == Element::bf16 || *find_dtype(spec->format) != type_of(element)) {
      return Verdict::no(fmt::format("quantizes its output to the operands' format only, not to {}",
                                     spec->format));
    }
    if (spec->timing != QuantSpec::Timing::static_ || spec->tile_rows || spec->tile_cols ||
        spec->zero_point || !has(call, in.out_scale) ||
        dtype_of(call, in.out_scale) != DType::f32) {
      return Verdict::no("quantizes its output with one given f32 scale only");
    }
    if (has(call, in.gate) || has(call, in.residual)) {
      return Verdict::no("adds no residual to an output that it quantizes");
    }
    return Verdict::yes();
  }
  const DType out = call.outputs[0].dtype;
  if (out != DType::bf16 && out != DType::f32) {
    return Verdict::no(fmt::format("the output is {}", name(out)));
  }
  for (const size_t i : {in.gate, in.residual}) {
    if (has(call, i) && dtype_of(call, i) != out) {
      return Verdict::no(fmt::format("input {} is {}, not {} as the output", i,
                                     name(dtype_of(call, i)), name(out)));
    }
  }
  return Verdict::yes();
}

Verdict supports(const Call& call, const ProductInputs& in, Element element, bool accurate) {
  if (device_info(call).arch != kArch) return Verdict::no("runs on compute capability 9.0 only");
  Verdict v = supports_operands(call, in, element);
  if (v.supported) v = supports_output(call, in, element);
  if (v.supported) v = supports_epilogue(call, in);
  if (!v.supported) return v;
  if (has(call, in.bias)) {
    const DType bias = dtype_of(call, in.bias);
    if (bias != DType::f32 && bias != DType::bf16) {
      return Verdict::no(fmt::format("the bias is {}", name(bias)));
    }
  }
  const Gemm g = describe(call, in, element, nullptr);
  const bool plain = !has(call, in.gate) && activation_of(call) == cuda::Activation::none &&
                     !call.attrs.has("out_spec");
  if (element == Element::bf16 && plain && g.output == Output::bf16 && g.m >= kManyRows &&
      !call.rules.batch_invariant) {
    return Verdict::no("cuBLASLt is faster where nothing but a bias or residual is added");
  }
  const std::string refusal = gemm_refusal(g, true);
  if (!refusal.empty()) return Verdict::no(refusal);
  if (sm90::choose_variant({&g, 1}, device_info(call).processors, accurate) == sm90::kNoVariant) {
    return Verdict::no("no variant has this output and activation");
  }
  return Verdict::yes();
}

bool can_group(std::span<const Call* const> calls, const ProductInputs& in, Element element,
               bool accurate) {
  std::vector<Gemm> group;
  for (const Call* call : calls) {
    if (call->device != calls[0]->device) return false;
    group.push_back(describe(*call, in, element, nullptr));
  }
  return sm90::choose_variant(group, device_info(*calls[0]).processors, accurate) !=
         sm90::kNoVariant;
}

void launch_members(std::span<const GroupMember> members, const ProductInputs& in, Element element,
                    bool accurate) {
  const Call& first = *members[0].call;
  std::vector<Gemm> group;
  for (const GroupMember& member : members) {
    group.push_back(describe(*member.call, in, element, &member.buffers));
    const std::string refusal = gemm_refusal(group.back());
    if (!refusal.empty()) fail(*member.call, refusal);
  }
  const int processors = device_info(first).processors;
  check(run_gemms(group, sm90::choose_variant(group, processors, accurate), processors,
                  stream_of(first)),
        first.name.c_str());
}

bool wants_accurate_sums() {
  const auto sums = env("OCTAVO_FP8_SUMS");
  OCTAVO_CHECK(!sums || *sums == "fast" || *sums == "accurate",
               "OCTAVO_FP8_SUMS is \"{}\", not fast or accurate", *sums);
  return sums && *sums == "accurate";
}

template <const ProductInputs& kIn, Element kElement, bool kAccurate>
constexpr Kernel kernel(const char* name, Op op) {
  return {.name = name,
          .op = op,
          .supports =
              [](const Call& call) {
                if (kElement == Element::e4m3 && !kAccurate && wants_accurate_sums()) {
                  return Verdict::no("OCTAVO_FP8_SUMS is accurate");
                }
                return cuda::supports(call, kIn, kElement, kAccurate);
              },
          .launch =
              [](const Call& call, const KernelState* state, const Buffers& buffers) {
                const GroupMember member = {&call, state, buffers};
                launch_members({&member, 1}, kIn, kElement, kAccurate);
              },
          .alignment = kAlignment,
          .pitched_output = true,
          .can_group =
              [](std::span<const Call* const> calls) {
                return cuda::can_group(calls, kIn, kElement, kAccurate);
              },
          .launch_group =
              [](std::span<const GroupMember> members) {
                launch_members(members, kIn, kElement, kAccurate);
              }};
}

}  // namespace

const Kernel kLinearBf16Sm90 =
    kernel<kLinearInputs, Element::bf16, false>("linear_bf16_sm90", Op::linear);
const Kernel kQuantizedLinearI8Sm90 = kernel<kQuantizedLinearInputs, Element::i8, false>(
    "quantized_linear_i8_sm90", Op::quantized_linear);
const Kernel kQuantizedLinearE4m3Sm90 = kernel<kQuantizedLinearInputs, Element::e4m3, false>(
    "quantized_linear_e4m3_fast_accumulation_sm90", Op::quantized_linear);
const Kernel kQuantizedLinearE4m3AccurateSm90 = kernel<kQuantizedLinearInputs, Element::e4m3, true>(
    "quantized_linear_e4m3_sm90", Op::quantized_linear);

}  // namespace octavo::cuda
