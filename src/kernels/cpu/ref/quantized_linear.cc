// The linear over dequantized operands, x real = code * x_scale (or x itself, of a float type) and
// w real = (code - w_zp) * w_scale. One output element:
//
//   1  acc  = sum over k of x_code * (w_code - w_zp), exact
//   2  s    = x_scale * w_scale[n]             one f32 product; x_scale is 1 where x is float
//   3  v    = float(acc) * s                   acc rounded to f32 once, one f32 product
//   4  v    = v + bias[n]                      f32
//   5  v    = activation(v)                    in double, rounded to f32 once
//   6  v    = gate * v                         f32
//   7  v    = residual + v                     f32; never fused with 6 or 3 into one rounding
//   8  out  = v rounded to the output's type, or code = encode(v / out_scale), a f32 division
//
// Absent operands leave their step out. bias, gate and residual of 16 bits enter as their f32
// values. Steps 2 to 4 and 6 to 8 are the contract between kernels: where both operands are i8
// without zero point and neither has scales that change along k (tiles 1x* or *x*, any timing), acc
// is the int32 sum (K < 2^17) and every kernel of this op, on any device, gives these bits as long
// as there is no activation. With one, a kernel's step 5 may be a few units in the last place away.
// e4m3 products sum exactly in the double as well, so they have no order either; other formats and
// float x are summed in double in order of k, and kernels agree with that to f32 rounding.
// Where scales change along k (groups), each group's sum is scaled by its own s in double, and step
// 3 rounds the total: v = float(sum over groups of acc_g * s_g).
#include "kernels/cpu/ref/float_epilogue.h"
#include "kernels/cpu/ref/fused_output.h"
#include "kernels/cpu/ref/product.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/scale_grid.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kGate = kBias + 1, kResidual, kOutScale };

Verdict supports(const Call& call) {
  return all_of({supports_quantized_operands(call, MatrixView::activation),
                 supports_activation(call), supports_fused_output(call, kOutScale)});
}

size_t workspace(const Call& call, const KernelState*) {
  Arena arena(nullptr);
  count_float_inputs(call, arena);
  count_fused_output(call, arena);
  return arena.used();
}

// One row of x against all rows of w.
struct Product {
  const float *x, *w;
  int64_t k, n;
  ScaleGrid x_scales, w_scales;

  // Steps 1 and, where scales change along k, 2 and 3 without the rounding.
  void sums(int64_t row, double* out, double* part) const {
    if (whole_rows()) return segment(row, 0, k, out);
    std::fill(out, out + n, 0.0);
    for (int64_t begin = 0; begin < k;) {
      const int64_t end = std::min({k, next_border(x_scales, begin), next_border(w_scales, begin)});
      segment(row, begin, end, part);
      for (int64_t j = 0; j < n; ++j) {
        const float s = x_scales.scale(row, begin) * w_scales.scale(j, begin);
        out[j] += part[j] * s;
      }
      begin = end;
    }
  }
  // What is left of step 2.
  float scale(int64_t row, int64_t j) const {
    return whole_rows() ? x_scales.scale(row, 0) * w_scales.scale(j, 0) : 1.0f;
  }

 private:
  bool whole_rows() const { return x_scales.tiles_across() <= 1 && w_scales.tiles_across() <= 1; }
  static int64_t next_border(const ScaleGrid& grid, int64_t at) {
    return grid.tiles_across() <= 1 ? INT64_MAX : (at / grid.tile_cols() + 1) * grid.tile_cols();
  }
  // out[j] = sum over [begin, end) of x (w - zp).
  void segment(int64_t row, int64_t begin, int64_t end, double* out) const {
    const float* xs = x + row * k + begin;
    dot_rows(xs, w + begin, k, end - begin, n, out);
    double total = 0;
    for (int64_t i = 0; i < end - begin; ++i) total += xs[i];
    for (int64_t j = 0; j < n; ++j) out[j] -= w_scales.zero_point(j, begin) * total;
  }
};

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FusedOutput out(call, buffers, kOutScale, arena);
  const Activation activation = activation_of(call);
  const int64_t rows = leading_rows(shape_of(call, kX)), k = last_dim(shape_of(call, kX));
  const int64_t n = shape_of(call, kW)[0];
  const SampleRows gate_rows(call, kGate, rows);
  const Product product{in[kX],          in[kW], k, n, x_grid(call, in, MatrixView::activation),
                        w_grid(call, in)};
  for_rows(rows, k * n, [&](int64_t row) {
    double* sums = scratch(2 * n);
    product.sums(row, sums, sums + n);
    for (int64_t j = 0; j < n; ++j) {
      const EpilogueOperands operands{element(in[kBias], j),
                                      element(in[kGate], gate_rows(row) * n + j),
                                      element(in[kResidual], row * n + j)};
      out.set(row * n + j, float_epilogue(sums[j], product.scale(row, j), activation, operands));
    }
  });
  out.finish();
}

}  // namespace

const Kernel kQuantizedLinearRef = {.name = "quantized_linear_ref",
                                    .op = Op::quantized_linear,
                                    .supports = supports,
                                    .workspace = workspace,
                                    .launch = launch};

}  // namespace octavo::cpu
