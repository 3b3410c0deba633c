// layer_norm(x) (1 + scale) + shift, plain or quantized on the way out (out_spec).
#include "base/threads.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/out_quant.h"
#include "kernels/cpu/fast/row_norm.h"
#include "kernels/cpu/fast/scratch.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kScale, kShift, kOutScale };

struct State : KernelState {
  OutQuant out;
  float eps = 0;
};

Verdict supports(const Call& call) {
  const Verdict types = all_of({vector_float(call, kX, "x"), vector_float(call, kScale, "scale"),
                                vector_float(call, kShift, "shift")});
  if (!types.supported) return types;
  const DType x = call.inputs[kX]->dtype, scale = call.inputs[kScale]->dtype;
  if (scale != x || call.inputs[kShift]->dtype != x) {
    return Verdict::no("scale and shift are not of x's type");
  }
  if (const auto spec = out_spec(call)) return supports_out_quant(call, *spec, kOutScale);
  return Verdict::yes();
}

std::shared_ptr<const KernelState> prepare(const Call& call) {
  auto state = std::make_shared<State>();
  state->out = make_out_quant(out_spec(call));
  state->eps = static_cast<float>(call.attrs.get_double("eps"));
  return state;
}

size_t workspace(const Call& call, const KernelState* state) {
  if (static_cast<const State*>(state)->out.mode != OutMode::dynamic_tensor) return 0;
  return static_cast<size_t>(element_count(shape_of(call, kX))) * sizeof(float);
}

void run_rows(const Call& call, const RowNorm& norm, const OutQuant& out, int64_t rows) {
  parallel_for(rows, rows_of_chunk(norm.d), [&](int64_t begin, int64_t end) {
    if (!normalize_rows(norm, begin, end)) fail_not_finite(call, out.spec);
  });
}

// Each chunk's rows in f32, then their scales and codes.
void run_dynamic_rows(const Call& call, const RowNorm& norm, const OutQuant& out, int64_t rows,
                      const Buffers& buffers) {
  auto* codes = static_cast<std::byte*>(buffers.outputs[0]);
  auto* scales = static_cast<float*>(buffers.outputs[1]);
  const int64_t d = norm.d;
  parallel_for(rows, rows_of_chunk(d), [&](int64_t begin, int64_t end) {
    float* y = scratch_of<float>(Scratch::rows, d);
    RowNorm one = norm;
    one.out = DType::f32;
    one.output = y;
    for (int64_t row = begin; row < end; ++row) {
      one.first_row = row;
      normalize_rows(one, row, row + 1);
      quantize_row(call, out, DType::f32, y, d, codes + row * d, scales + row);
    }
  });
}

void launch(const Call& call, const KernelState* kernel_state, const Buffers& buffers) {
  const auto& state = static_cast<const State&>(*kernel_state);
  const Shape& shape = shape_of(call, kX);
  const int64_t rows = leading_rows(shape), d = last_dim(shape);
  const auto per = [&](size_t i) { return rows_per_sample(rows, shape_of(call, i)[0]); };
  RowNorm norm{.type = call.inputs[kX]->dtype,
               .param_type = call.inputs[kScale]->dtype,
               .x = buffers.inputs[kX],
               .d = d,
               .eps = state.eps,
               .weight = buffers.inputs[kScale],
               .one_plus = true,
               .shift = buffers.inputs[kShift],
               .rows_per_weight = per(kScale),
               .rows_per_shift = per(kShift),
               .out = call.outputs[0].dtype,
               .output = buffers.outputs[0]};
  const OutQuant& out = state.out;
  auto* scale = out.mode == OutMode::plain ? nullptr : static_cast<float*>(buffers.outputs[1]);
  switch (out.mode) {
    case OutMode::plain:
      return run_rows(call, norm, out, rows);
    case OutMode::static_tensor:
      norm.out_scale = static_cast<const float*>(buffers.inputs[kOutScale]);
      *scale = *norm.out_scale;
      return run_rows(call, norm, out, rows);
    case OutMode::dynamic_row:
      return run_dynamic_rows(call, norm, out, rows, buffers);
    case OutMode::dynamic_tensor:
      norm.out = DType::f32;
      norm.output = buffers.workspace;
      run_rows(call, norm, out, rows);
      return quantize_rows(call, out, DType::f32, buffers.workspace, rows, d, nullptr,
                           buffers.outputs[0], scale);
  }
}

}  // namespace

const Kernel kNormModulateHwy = {.name = "norm_modulate_hwy",
                                 .op = Op::norm_modulate,
                                 .supports = supports,
                                 .prepare = prepare,
                                 .workspace = workspace,
                                 .launch = launch};

}  // namespace octavo::cpu
