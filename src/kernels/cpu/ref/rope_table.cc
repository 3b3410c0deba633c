// Angles of rotary positions as Flux computes them (diffusers get_1d_rotary_pos_embed with float64
// frequencies): axis a of size d contributes d/2 columns id * theta^(-2i/d); the axes lie side by
// side. cos and sin are taken in double and rounded to f32 once.
#include <fmt/format.h>

#include <cmath>

#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

Verdict supports(const Call& call) {
  const DType ids = call.inputs[0]->dtype;
  if (ids == DType::f32 || ids == DType::i64) return Verdict::yes();
  return Verdict::no(fmt::format("ids are {}, not f32 or i64", name(ids)));
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const auto& axes = call.attrs.get_ints("axes");
  const double theta = call.attrs.get_double("theta");
  const Operand& ids = *call.inputs[0];
  const auto axis_count = static_cast<int64_t>(axes.size());
  const int64_t columns = call.outputs[0].shape[1], id_bytes = info(ids.dtype).bits / 8;
  const FloatOutput cos(call, buffers, 0), sin(call, buffers, 1);
  for_rows(ids.shape[0], columns * 60, [&](int64_t row) {
    int64_t at = row * columns;
    for (int64_t axis = 0; axis < axis_count; ++axis) {
      const auto* src = static_cast<const std::byte*>(buffers.inputs[0]);
      double id = 0;
      convert_row(ids.dtype, src + (row * axis_count + axis) * id_bytes, DType::f64, &id, 1);
      const auto d = static_cast<double>(axes[static_cast<size_t>(axis)]);
      for (int64_t i = 0; i < axes[static_cast<size_t>(axis)] / 2; ++i, ++at) {
        const double angle = id * (1.0 / std::pow(theta, static_cast<double>(2 * i) / d));
        cos.set(at, std::cos(angle));
        sin.set(at, std::sin(angle));
      }
    }
  });
}

}  // namespace

const Kernel kRopeTableRef = {
    .name = "rope_table_ref", .op = Op::rope_table, .supports = supports, .launch = launch};

}  // namespace octavo::cpu
