#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/rotation.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kCos, kSin };

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  const Shape& shape = shape_of(call, kX);
  const int64_t depth = shape[3];
  for_rows(leading_rows(shape), 6 * depth, [&](int64_t row) {
    const int64_t at = rotation_offset(shape, row);
    rotate_row([&](int64_t i) { return double{in[kX][row * depth + i]}; }, in[kCos] + at,
               in[kSin] + at, depth, [&](int64_t i, double y) { out.set(row * depth + i, y); });
  });
}

}  // namespace

const Kernel kRopeRef = {.name = "rope_ref",
                         .op = Op::rope,
                         .supports = supports_floats,
                         .workspace = float_inputs_workspace,
                         .launch = launch,
                         .in_place = true};

}  // namespace octavo::cpu
