#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/row_statistics.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kX, kW, kB };

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  const double eps = call.attrs.get_double("eps");
  const int64_t d = last_dim(shape_of(call, kX));
  for_rows(leading_rows(shape_of(call, kX)), 6 * d, [&](int64_t row) {
    const float* x = in[kX] + row * d;
    const auto [mean, inverse_deviation] = moments(x, d, eps);
    for (int64_t i = 0; i < d; ++i) {
      double y = (x[i] - mean) * inverse_deviation;
      if (in[kW]) y *= in[kW][i];
      if (in[kB]) y += in[kB][i];
      out.set(row * d + i, y);
    }
  });
}

}  // namespace

const Kernel kLayerNormRef = {.name = "layer_norm_ref",
                              .op = Op::layer_norm,
                              .supports = supports_floats,
                              .workspace = float_inputs_workspace,
                              .launch = launch,
                              .in_place = true};

}  // namespace octavo::cpu
