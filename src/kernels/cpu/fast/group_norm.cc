// group_norm with its activation (none or silu): one task a sample and group.
#include "kernels/cpu/fast/group_norm.h"

#include <fmt/format.h>

#include "base/threads.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/support.h"
#include "kernels/cpu/ref/fused_output.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kW, kB };

struct State : KernelState {
  Tensor weight, shift;
  GroupNorm norm;
  size_t bytes() const override { return weight.bytes() + shift.bytes(); }
};

Verdict supports(const Call& call) {
  const Verdict operands =
      all_of({vector_float(call, kX, "x"), is_constant_or_absent(call, kW, "w"),
              is_constant_or_absent(call, kB, "b"), supports_activation(call)});
  if (!operands.supported) return operands;
  const Activation activation = activation_of(call);
  if (activation == Activation::none || activation == Activation::silu) return Verdict::yes();
  return Verdict::no("the activation is neither none nor silu");
}

std::shared_ptr<const KernelState> prepare(const Call& call) {
  auto state = std::make_shared<State>();
  state->weight = constant_f32(call, kW);
  state->shift = constant_f32(call, kB);
  state->norm = {.type = call.inputs[kX]->dtype,
                 .groups = call.attrs.get_int("groups"),
                 .eps = call.attrs.get_double("eps"),
                 .weight = state->weight.as<float>(),
                 .shift = state->shift.as<float>(),
                 .silu = activation_of(call) == Activation::silu};
  return state;
}

void launch(const Call& call, const KernelState* kernel_state, const Buffers& buffers) {
  GroupNorm norm = static_cast<const State&>(*kernel_state).norm;
  const Shape& shape = shape_of(call, kX);
  norm.x = buffers.inputs[kX];
  norm.y = buffers.outputs[0];
  norm.channels = shape[1] / norm.groups;
  norm.positions = extent(shape, 2, shape.size());
  if (norm.channels * norm.positions == 0) return;
  parallel_for(shape[0] * norm.groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) normalize_group(norm, i);
  });
}

}  // namespace

const Kernel kGroupNormHwy = {.name = "group_norm_hwy",
                              .op = Op::group_norm,
                              .supports = supports,
                              .prepare = prepare,
                              .launch = launch,
                              .in_place = true};

}  // namespace octavo::cpu
