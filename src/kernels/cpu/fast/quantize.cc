// quantize: scales per tensor (given or found) or per row (found). Rows are those of the matrix
// view.
#include <fmt/format.h>

#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/out_quant.h"
#include "kernels/cpu/fast/support.h"
#include "tensor/quantize.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kScale };

struct State : KernelState {
  OutQuant quant;
  MatrixView view;
};

QuantSpec spec_of(const Call& call) { return QuantSpec::parse(call.attrs.get_string("spec")); }

Verdict supports(const Call& call) {
  return all_of({vector_float(call, kX, "x"), supports_out_quant(call, spec_of(call), kScale)});
}

std::shared_ptr<const KernelState> prepare(const Call& call) {
  auto state = std::make_shared<State>();
  state->quant = make_out_quant(spec_of(call));
  state->view = call.attrs.get_string_or("rows", "leading") == "first" ? MatrixView::weight
                                                                       : MatrixView::activation;
  return state;
}

void launch(const Call& call, const KernelState* kernel_state, const Buffers& buffers) {
  const auto& state = static_cast<const State&>(*kernel_state);
  const auto [rows, cols] = matrix_extents(shape_of(call, kX), state.view);
  quantize_rows(call, state.quant, call.inputs[kX]->dtype, buffers.inputs[kX], rows, cols,
                static_cast<const float*>(data_of(call, buffers, kScale)), buffers.outputs[0],
                static_cast<float*>(buffers.outputs[1]));
}

}  // namespace

const Kernel kQuantizeHwy = {.name = "quantize_hwy",
                             .op = Op::quantize,
                             .supports = supports,
                             .prepare = prepare,
                             .launch = launch};

}  // namespace octavo::cpu
