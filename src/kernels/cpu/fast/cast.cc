// cast between f32 and bf16.
#include <fmt/format.h>

#include "base/threads.h"
#include "kernels/cpu/fast/convert_rows.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

Verdict supports(const Call& call) {
  const DType from = call.inputs[0]->dtype, to = call.outputs[0].dtype;
  if ((from == DType::f32 && to == DType::bf16) || (from == DType::bf16 && to == DType::f32)) {
    return Verdict::yes();
  }
  return Verdict::no(fmt::format("{} to {} is not f32 to bf16 or back", name(from), name(to)));
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const bool widens = call.outputs[0].dtype == DType::f32;
  parallel_for(element_count(shape_of(call, 0)), rows_of_chunk(1), [&](int64_t begin, int64_t end) {
    if (widens) {
      widen(DType::bf16, static_cast<const BFloat16*>(buffers.inputs[0]) + begin,
            static_cast<float*>(buffers.outputs[0]) + begin, end - begin);
    } else {
      narrow_to_bf16(static_cast<const float*>(buffers.inputs[0]) + begin,
                     static_cast<BFloat16*>(buffers.outputs[0]) + begin, end - begin);
    }
  });
}

}  // namespace

const Kernel kCastHwy = {
    .name = "cast_hwy", .op = Op::cast, .supports = supports, .launch = launch};

}  // namespace octavo::cpu
