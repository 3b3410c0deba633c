#include "kernels/cpu/ref/quantize_matrix.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kScale };

QuantSpec spec_of(const Call& call) { return QuantSpec::parse(call.attrs.get_string("spec")); }

MatrixView view_of(const Call& call) {
  return call.attrs.get_string_or("rows", "leading") == "first" ? MatrixView::weight
                                                                : MatrixView::activation;
}

Verdict supports(const Call& call) {
  return all_of(
      {float_inputs(call, kX, kX), supports_quantized_output(call, spec_of(call), kScale)});
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  quantize_matrix(call, spec_of(call), view_of(call), in[kX], in[kScale], buffers);
}

}  // namespace

const Kernel kQuantizeRef = {.name = "quantize_ref",
                             .op = Op::quantize,
                             .supports = supports,
                             .workspace = float_inputs_workspace,
                             .launch = launch};

}  // namespace octavo::cpu
