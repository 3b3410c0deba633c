// out[b, c, i, j] = x[b, c, i / factor, j / factor].
#include <cstring>

#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const int64_t factor = call.attrs.get_int("factor"), bytes = element_bytes(call.outputs[0].dtype);
  const Shape &in = shape_of(call, 0), &out = call.outputs[0].shape;
  for_rows(out[3] == 0 ? 0 : leading_rows(out), out[3], [&](int64_t row) {
    const int64_t plane = row / out[2], line = row % out[2] / factor;
    const auto* src =
        static_cast<const std::byte*>(buffers.inputs[0]) + (plane * in[2] + line) * in[3] * bytes;
    auto* dst = static_cast<std::byte*>(buffers.outputs[0]) + row * out[3] * bytes;
    for (int64_t j = 0; j < out[3]; ++j) {
      std::memcpy(dst + j * bytes, src + j / factor * bytes, static_cast<size_t>(bytes));
    }
  });
}

}  // namespace

const Kernel kUpsampleNearestRef = {.name = "upsample_nearest_ref",
                                    .op = Op::upsample_nearest,
                                    .supports = supports_movement,
                                    .launch = launch};

}  // namespace octavo::cpu
