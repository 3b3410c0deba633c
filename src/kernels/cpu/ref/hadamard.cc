// y = H x / sqrt(block) of each block of the last axis, H[i][j] = (-1)^popcount(i & j), by
// butterflies in double.
#include <bit>
#include <cmath>

#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

void transform(double* x, int64_t n) {
  for (int64_t half = 1; half < n; half *= 2) {
    for (int64_t i = 0; i < n; ++i) {
      if (i & half) continue;
      const double a = x[i], b = x[i + half];
      x[i] = a + b;
      x[i + half] = a - b;
    }
  }
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  const int64_t block = call.attrs.get_int("block");
  const double norm = std::sqrt(static_cast<double>(block));
  const int64_t work = block * (2 + std::bit_width(static_cast<uint64_t>(block)));
  for_rows(element_count(shape_of(call, 0)) / block, work, [&](int64_t row) {
    double* x = scratch(block);
    for (int64_t i = 0; i < block; ++i) x[i] = in[0][row * block + i];
    transform(x, block);
    for (int64_t i = 0; i < block; ++i) out.set(row * block + i, x[i] / norm);
  });
}

}  // namespace

const Kernel kHadamardRef = {.name = "hadamard_ref",
                             .op = Op::hadamard,
                             .supports = supports_floats,
                             .workspace = float_inputs_workspace,
                             .launch = launch,
                             .in_place = true};

}  // namespace octavo::cpu
