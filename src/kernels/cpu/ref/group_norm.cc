// Each group of C / groups channels of a sample is normalised over its channels and positions.
#include "kernels/cpu/activation.h"
#include "kernels/cpu/ref/fused_output.h"
#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/row_statistics.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kW, kB };

Verdict supports(const Call& call) {
  return all_of({supports_floats(call), supports_activation(call)});
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  const double eps = call.attrs.get_double("eps");
  const Activation activation = activation_of(call);
  const Shape& shape = shape_of(call, kX);
  const int64_t groups = call.attrs.get_int("groups"), positions = extent(shape, 2, shape.size());
  const int64_t channels = shape[1] / groups, n = channels * positions;
  for_rows(shape[0] * groups, 8 * n, [&](int64_t row) {
    const float* x = in[kX] + row * n;
    const auto [mean, inverse_deviation] = moments(x, n, eps);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t c = row % groups * channels + i / positions;
      double y = (x[i] - mean) * inverse_deviation;
      if (in[kW]) y *= in[kW][c];
      if (in[kB]) y += in[kB][c];
      out.set(row * n + i, activate(activation, y));
    }
  });
}

}  // namespace

const Kernel kGroupNormRef = {.name = "group_norm_ref",
                              .op = Op::group_norm,
                              .supports = supports,
                              .workspace = float_inputs_workspace,
                              .launch = launch,
                              .in_place = true};

}  // namespace octavo::cpu
