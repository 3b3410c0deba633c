#pragma once
// What the norms over rows share: statistics on the device, and a launch for rows of any length.
#include "kernels/cuda/out_quant.cuh"
#include "kernels/cuda/row.cuh"

namespace octavo::cuda {

// y = (x - mean) / deviation (unit + gain) + offset, without mean: unless centred.
struct RowNorm {
  int64_t rows, cols;
  bool centred;
  float eps, unit, cols_reciprocal;
  AnyFloat gain, offset;  // [samples, cols] or absent
  int64_t rows_per_gain, rows_per_offset;
};

enum class Output : uint8_t { plain, staged, largest, codes };

struct RowOutput {
  Output kind;
  void* y;  // plain: of x's type, may be x; staged: f32
  QuantTarget quant;
};

// Of the call's input 0 and attribute eps, without parameters.
RowNorm row_norm_of(const Call& call);
// Inputs 0 to 2 of compute types, and an output of input 0's.
Verdict supports_norm_inputs(const Call& call);
Verdict supports_plain_norm(const Call& call);
void launch_rows(const Call& call, const RowNorm& n, const void* x, const RowOutput& out);

// Device side
// ---------------------------------------------------------------------------------------

template <int N>
__device__ float sum_of(const float (&v)[N]) {
  if constexpr (N == 1) {
    return v[0];
  } else {
    float sum[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; ++i) sum[i] = v[2 * i] + v[2 * i + 1];
    return sum_of(sum);
  }
}

// What the warps of a row tell each other.
struct alignas(16) WarpPart {
  float sum, squares, count, mean;  // squares: of what is off the warp's mean
};
struct Moments {
  float mean, inverse_deviation;
};

template <class R>
__device__ WarpPart warp_part(R& row, bool centred) {
  float sum = 0, squares = 0, own = 0;
  if (centred) {
    row.each([&](int64_t, auto& v) { sum += sum_of(v); });
    own = sum * row.count_reciprocal();
  }
  row.each([&](int64_t, auto& v) {
#pragma unroll
    for (float x : v) squares = fmaf(x - own, x - own, squares);
  });
  WarpPart part = {};
  if (centred) {
    part.sum = reduce_lanes<Sum>(sum);
    part.count = row.warp_count();
    part.mean = __fdividef(part.sum, part.count);
    const float off = own - part.mean;
    squares = fmaf(row.count() * off, off, squares);
  }
  part.squares = reduce_lanes<Sum>(squares);
  return part;
}

}  // namespace octavo::cuda
