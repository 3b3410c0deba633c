// diffusers get_timestep_embedding: half = dim/2, frequency_i = exp(-ln(max_period) i / (half -
// freq_shift)), [sin(t f), cos(t f)], or [cos, sin] with flip_sin_to_cos. Every step is rounded to
// f32 as PyTorch rounds it, because at t = 1000 the rounding of the angle is what one sees; exp,
// sin and cos are correctly rounded here, PyTorch's are within an ulp of that.
#include <cmath>

#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

float rounded(double v) { return static_cast<float>(v); }

float frequency(const Attrs& attrs, int64_t i, int64_t half) {
  const float log_period = rounded(-std::log(attrs.get_double("max_period")));
  const float divisor = rounded(static_cast<double>(half) - attrs.get_double("freq_shift"));
  const float exponent = log_period * static_cast<float>(i) / divisor;
  return rounded(std::exp(double{exponent}));
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  const int64_t dim = call.attrs.get_int("dim"), half = dim / 2;
  const bool cos_first = call.attrs.get_bool("flip_sin_to_cos");
  for_rows(shape_of(call, 0)[0], dim * 40, [&](int64_t row) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = in[0][row] * frequency(call.attrs, i, half);
      out.set(row * dim + i, cos_first ? std::cos(angle) : std::sin(angle));
      out.set(row * dim + half + i, cos_first ? std::sin(angle) : std::cos(angle));
    }
  });
}

}  // namespace

const Kernel kTimestepEmbeddingRef = {.name = "timestep_embedding_ref",
                                      .op = Op::timestep_embedding,
                                      .supports = supports_floats,
                                      .workspace = float_inputs_workspace,
                                      .launch = launch};

}  // namespace octavo::cpu
