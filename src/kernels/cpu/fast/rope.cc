// rope and qk_norm_rope, the latter plain or quantized on the way out (out_spec).
#include "base/threads.h"
#include "kernels/cpu/fast/convert_rows.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/out_quant.h"
#include "kernels/cpu/fast/rotate.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

constexpr size_t kNormOutScale = 4;

struct State : KernelState {
  Tensor weight;
  OutQuant out;
  float eps = 0;
  size_t bytes() const override { return weight.bytes(); }
};

Verdict supports_rope(const Call& call) { return vector_float(call, 0, "x"); }

Verdict supports_norm(const Call& call) {
  const Verdict operands =
      all_of({vector_float(call, 0, "x"), is_constant_or_absent(call, 1, "w")});
  const auto spec = out_spec(call);
  return operands.supported && spec ? supports_out_quant(call, *spec, kNormOutScale) : operands;
}

std::shared_ptr<const KernelState> prepare_norm(const Call& call) {
  auto state = std::make_shared<State>();
  state->weight = constant_f32(call, 1);
  state->eps = static_cast<float>(call.attrs.get_double("eps"));
  state->out = make_out_quant(out_spec(call));
  return state;
}

size_t workspace(const Call& call, const KernelState*) {
  if (!call.attrs.has("out_spec")) return 0;
  return static_cast<size_t>(element_count(shape_of(call, 0))) * sizeof(float);
}

// x as f32 rows in the workspace, to be rotated in place and then quantized.
void widen_to(const Call& call, const void* x, float* rows) {
  const Shape& shape = shape_of(call, 0);
  const DType type = call.inputs[0]->dtype;
  const int64_t d = last_dim(shape), element = info(type).bits / 8;
  parallel_for(leading_rows(shape), rows_of_chunk(d), [&](int64_t begin, int64_t end) {
    widen(type, static_cast<const std::byte*>(x) + begin * d * element, rows + begin * d,
          (end - begin) * d);
  });
}

// kTables: the index of cos; sin follows.
template <size_t kTables>
void launch(const Call& call, const KernelState* state, const Buffers& buffers) {
  const Shape& shape = shape_of(call, 0);
  const bool staged = call.attrs.has("out_spec");
  if (staged) widen_to(call, buffers.inputs[0], static_cast<float*>(buffers.workspace));
  Rotation r{.type = staged ? DType::f32 : call.inputs[0]->dtype,
             .x = staged ? buffers.workspace : buffers.inputs[0],
             .y = staged ? buffers.workspace : buffers.outputs[0],
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
  if (!staged) return;
  quantize_rows(call, static_cast<const State&>(*state).out, DType::f32, buffers.workspace,
                leading_rows(shape), last_dim(shape),
                static_cast<const float*>(data_of(call, buffers, kNormOutScale)),
                buffers.outputs[0], static_cast<float*>(buffers.outputs[1]));
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
                               .workspace = workspace,
                               .launch = launch<2>,
                               .in_place = true};

}  // namespace octavo::cpu
