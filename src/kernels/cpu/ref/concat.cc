#include <cstring>

#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const auto axis = static_cast<size_t>(call.attrs.get_int("axis"));
  const Shape& out = call.outputs[0].shape;
  const int64_t bytes = element_bytes(call.outputs[0].dtype);
  const int64_t row_bytes = extent(out, axis, out.size()) * bytes;
  int64_t begin = 0;  // bytes into each row of the output
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const int64_t part = extent(shape_of(call, i), axis, out.size()) * bytes;
    const auto* src = static_cast<const std::byte*>(buffers.inputs[i]);
    auto* dst = static_cast<std::byte*>(buffers.outputs[0]) + begin;
    for_rows(part == 0 ? 0 : extent(out, 0, axis), part, [&](int64_t row) {
      std::memcpy(dst + row * row_bytes, src + row * part, static_cast<size_t>(part));
    });
    begin += part;
  }
}

}  // namespace

const Kernel kConcatRef = {
    .name = "concat_ref", .op = Op::concat, .supports = supports_movement, .launch = launch};

}  // namespace octavo::cpu
