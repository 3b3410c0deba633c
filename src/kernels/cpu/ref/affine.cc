// affine: x * scale + shift. clamp: to [min, max], NaN stays. Attributes are doubles; one rounding.
#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

template <class F>
void map_elements(const Call& call, const Buffers& buffers, const F& f) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  for_rows(element_count(call.outputs[0].shape), 2,
           [&](int64_t i) { out.set(i, f(double{in[0][i]})); });
}

void launch_affine(const Call& call, const KernelState*, const Buffers& buffers) {
  const double scale = call.attrs.get_double("scale"), shift = call.attrs.get_double("shift");
  map_elements(call, buffers, [=](double x) { return x * scale + shift; });
}

void launch_clamp(const Call& call, const KernelState*, const Buffers& buffers) {
  const double min = call.attrs.get_double("min"), max = call.attrs.get_double("max");
  map_elements(call, buffers, [=](double x) { return x < min ? min : x > max ? max : x; });
}

}  // namespace

const Kernel kAffineRef = {.name = "affine_ref",
                           .op = Op::affine,
                           .supports = supports_floats,
                           .workspace = float_inputs_workspace,
                           .launch = launch_affine,
                           .in_place = true};
const Kernel kClampRef = {.name = "clamp_ref",
                          .op = Op::clamp,
                          .supports = supports_floats,
                          .workspace = float_inputs_workspace,
                          .launch = launch_clamp,
                          .in_place = true};

}  // namespace octavo::cpu
