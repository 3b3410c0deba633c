// The value that belongs to the step nearest to each sample's timestep; of two that are equally
// near, the lower's. Beyond the ends the end's.
#include <algorithm>

#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kT, kSteps, kValues };

int64_t nearest(const float* steps, int64_t n, double t) {
  const int64_t above = std::lower_bound(steps, steps + n, t) - steps;
  if (above == 0) return 0;
  if (above == n) return n - 1;
  return t - steps[above - 1] <= steps[above] - t ? above - 1 : above;
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  const int64_t steps = shape_of(call, kSteps)[0];
  for (int64_t b = 0; b < shape_of(call, kT)[0]; ++b) {
    out.set(b, in[kValues][nearest(in[kSteps], steps, in[kT][b])]);
  }
}

}  // namespace

const Kernel kStepScaleRef = {.name = "step_scale_ref",
                              .op = Op::step_scale,
                              .supports = supports_floats,
                              .workspace = float_inputs_workspace,
                              .launch = launch};

}  // namespace octavo::cpu
