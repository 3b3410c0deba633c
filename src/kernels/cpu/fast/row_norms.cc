// layer_norm and rms_norm over the last axis.
#include "base/threads.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/row_norm.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kW, kB };

struct State : KernelState {
  Tensor weight, shift;
  float eps = 0;
  size_t bytes() const override { return weight.bytes() + shift.bytes(); }
};

Verdict supports(const Call& call) {
  return all_of({vector_float(call, kX, "x"), is_constant_or_absent(call, kW, "w"),
                 is_constant_or_absent(call, kB, "b")});
}

std::shared_ptr<const KernelState> prepare(const Call& call) {
  auto state = std::make_shared<State>();
  state->weight = constant_f32(call, kW);
  state->shift = constant_f32(call, kB);
  state->eps = static_cast<float>(call.attrs.get_double("eps"));
  return state;
}

void launch(const Call& call, const KernelState* kernel_state, const Buffers& buffers) {
  const auto& state = static_cast<const State&>(*kernel_state);
  const Shape& shape = shape_of(call, kX);
  const int64_t rows = leading_rows(shape), d = last_dim(shape);
  if (rows == 0 || d == 0) return;
  const RowNorm norm{.type = call.inputs[kX]->dtype,
                     .x = buffers.inputs[kX],
                     .d = d,
                     .eps = state.eps,
                     .center = call.op == Op::layer_norm,
                     .weight = state.weight.data(),
                     .shift = state.shift.data(),
                     .rows_per_weight = rows,
                     .rows_per_shift = rows,
                     .out = call.outputs[0].dtype,
                     .output = buffers.outputs[0]};
  parallel_for(rows, rows_of_chunk(d),
               [&](int64_t begin, int64_t end) { normalize_rows(norm, begin, end); });
}

}  // namespace

const Kernel kLayerNormHwy = {.name = "layer_norm_hwy",
                              .op = Op::layer_norm,
                              .supports = supports,
                              .prepare = prepare,
                              .launch = launch,
                              .in_place = true};
const Kernel kRmsNormHwy = {.name = "rms_norm_hwy",
                            .op = Op::rms_norm,
                            .supports = supports,
                            .prepare = prepare,
                            .launch = launch,
                            .in_place = true};

}  // namespace octavo::cpu
