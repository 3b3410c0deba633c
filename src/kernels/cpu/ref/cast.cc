// Values rounded once to the nearest of the new type, ties to even; integers saturate.
#include <fmt/format.h>

#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

Verdict supports(const Call& call) {
  for (const DType dtype : {call.inputs[0]->dtype, call.outputs[0].dtype}) {
    if (info(dtype).bits < 8) {
      return Verdict::no(fmt::format("{} is packed: dequantize it", name(dtype)));
    }
  }
  return Verdict::yes();
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  constexpr int64_t kBlock = 4096;
  const DType from = call.inputs[0]->dtype, to = call.outputs[0].dtype;
  const int64_t n = element_count(call.outputs[0].shape);
  for_rows((n + kBlock - 1) / kBlock, kBlock, [&](int64_t block) {
    const int64_t at = block * kBlock;
    convert_row(from, static_cast<const std::byte*>(buffers.inputs[0]) + row_bytes(from, at), to,
                static_cast<std::byte*>(buffers.outputs[0]) + row_bytes(to, at),
                std::min(kBlock, n - at));
  });
}

}  // namespace

const Kernel kCastRef = {
    .name = "cast_ref", .op = Op::cast, .supports = supports, .launch = launch};

}  // namespace octavo::cpu
