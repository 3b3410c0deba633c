// rope and qk_norm_rope.
#include "base/threads.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/rotate.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

struct State : KernelState {
  Tensor weight;
  float eps = 0;
  size_t bytes() const override { return weight.bytes(); }
};

Verdict supports_rope(const Call& call) { return vector_float(call, 0, "x"); }

Verdict supports_norm(const Call& call) {
  return all_of({vector_float(call, 0, "x"), is_constant_or_absent(call, 1, "w")});
}

std::shared_ptr<const KernelState> prepare_norm(const Call& call) {
  auto state = std::make_shared<State>();
  state->weight = constant_f32(call, 1);
  state->eps = static_cast<float>(call.attrs.get_double("eps"));
  return state;
}

// kTables: the index of cos; sin follows.
template <size_t kTables>
void launch(const Call& call, const KernelState* state, const Buffers& buffers) {
  const Shape& shape = shape_of(call, 0);
  Rotation r{.type = call.inputs[0]->dtype,
             .x = buffers.inputs[0],
             .y = buffers.outputs[0],
             .heads = shape[2],
             .d = shape[3],
             .cos = static_cast<const float*>(buffers.inputs[kTables]),
             .sin = static_cast<const float*>(buffers.inputs[kTables + 1]),
             .table_rows = shape[1]};
  if (state) {
    const auto& norm = static_cast<const State&>(*state);
    r.norm = true;
    r.weight = norm.weight.as<float>();
    r.eps = norm.eps;
  }
  parallel_for(shape[0] * shape[1], rows_of_chunk(r.heads * r.d),
               [&](int64_t begin, int64_t end) { rotate_positions(r, begin, end); });
}

}  // namespace

const Kernel kRopeHwy = {.name = "rope_hwy",
                         .op = Op::rope,
                         .supports = supports_rope,
                         .launch = launch<1>,
                         .in_place = true};
const Kernel kQkNormRopeHwy = {.name = "qk_norm_rope_hwy",
                               .op = Op::qk_norm_rope,
                               .supports = supports_norm,
                               .prepare = prepare_norm,
                               .launch = launch<2>,
                               .in_place = true};

}  // namespace octavo::cpu
