// 0 where the mask is set (not zero), the lowest f32 where it is not.
#include <fmt/format.h>

#include <limits>

#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

Verdict supports(const Call& call) {
  const DType mask = call.inputs[0]->dtype;
  if (mask == DType::i64 || mask == DType::boolean || mask == DType::f32) return Verdict::yes();
  return Verdict::no(fmt::format("mask is {}, not i64, bool or f32", name(mask)));
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const DType dtype = call.inputs[0]->dtype;
  const int64_t bytes = info(dtype).bits / 8;
  auto* out = static_cast<float*>(buffers.outputs[0]);
  for_rows(element_count(call.outputs[0].shape), 10, [&](int64_t i) {
    float set = 0;
    convert_row(dtype, static_cast<const std::byte*>(buffers.inputs[0]) + i * bytes, DType::f32,
                &set, 1);
    out[i] = set != 0 ? 0.0f : std::numeric_limits<float>::lowest();
  });
}

}  // namespace

const Kernel kMaskBiasRef = {
    .name = "mask_bias_ref", .op = Op::mask_bias, .supports = supports, .launch = launch};

}  // namespace octavo::cpu
