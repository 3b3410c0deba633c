// rms_norm, layer_norm and norm_modulate (but see norm_modulate.cu): a row of x is normalised by a
// block, or by a warp where rows are short. Every thread centres its own elements first; deviations
// of threads, then of warps, add up as Chan, Golub and LeVeque have it (1983), so that a row is
// reduced over the block once.
#include "kernels/cuda/row_codes.cuh"
#include "kernels/cuda/row_norm.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr float kNoGain = 0.0f, kNoOffset = -0.0f;  // -0 leaves what it is added to

// P: the type of both parameters, or void: any, or absent.
template <class P, int N>
__device__ void load_parameter(const AnyFloat& from, int64_t at, float none, float (&v)[N]) {
  if constexpr (std::is_void_v<P>) {
#pragma unroll
    for (float& x : v) x = none;
    if (from.data) load_floats(from, at, v);
  } else {
    load_floats(static_cast<const P*>(from.data) + at, v);
  }
}

template <class R>
__device__ Moments moments(const RowNorm& n, R& row, WarpPart* parts) {
  constexpr int kMostWarps = kMostRowThreads / 32;
  WarpPart part = warp_part(row, n.centred);
  float sum = part.sum;
  if (blockDim.x > 32) {
    const unsigned lane = threadIdx.x % 32;
    if (lane == 0) parts[threadIdx.x / 32] = part;
    __syncthreads();
    // Every group of kMostWarps lanes reduces the same parts.
    const unsigned warp = lane % kMostWarps;
    part = warp < blockDim.x / 32 ? parts[warp] : WarpPart{};
    sum = reduce_lanes<Sum, kMostWarps>(part.sum);
  }
  const float mean = __fdiv_rn(sum, static_cast<float>(n.cols));  // exact if all are equal
  float squares = part.squares;
  if (blockDim.x > 32) {
    const float off = part.mean - mean;
    squares = reduce_lanes<Sum, kMostWarps>(fmaf(part.count * off, off, squares));
  }
  return {mean, inverse_root(fmaf(squares, n.cols_reciprocal, n.eps))};
}

template <class T, class P, int kPacks>
__global__ void __launch_bounds__(kMostRowThreads, kPacks < 4 ? 2 : 1)
    row_norm_kernel(const T* x, const __grid_constant__ RowNorm n,
                    const __grid_constant__ RowOutput out) {
  using R = FilledRow<T, kPacks>;
  __shared__ WarpPart parts[kMostRowThreads / 32];
  __shared__ RowReduction<1>::Slots slots;
  await_earlier_launches();
  const int64_t at = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (blockIdx.x == 0 && threadIdx.x + threadIdx.y == 0 && out.kind == Output::codes) {
    publish_scale(out.quant);
  }
  if (at >= n.rows) return;
  R row(x + at * n.cols, n.cols);
  const auto sample = [&](int64_t each) { return at < each ? 0 : at / each * n.cols; };
  const int64_t gain_at = sample(n.rows_per_gain), offset_at = sample(n.rows_per_offset);
  const Moments m = moments(n, row, parts);
  const auto finish = [&](int64_t col, auto& v) {
    float gain[R::kVec], offset[R::kVec];
    load_parameter<P>(n.gain, gain_at + col, kNoGain, gain);
    load_parameter<P>(n.offset, offset_at + col, kNoOffset, offset);
    const float base = m.inverse_deviation * n.unit;
#pragma unroll
    for (int i = 0; i < R::kVec; ++i) {
      v[i] = fmaf(v[i] - m.mean, fmaf(m.inverse_deviation, gain[i], base), offset[i]);
    }
  };
  if constexpr (R::kHeld) row.each(finish);
  const auto visit = [&](auto&& f) {
    row.each([&](int64_t col, auto& v) {
      if constexpr (!R::kHeld) finish(col, v);
      f(col, v);
    });
  };
  RowReduction<1> reduction(slots);
  switch (out.kind) {
    case Output::plain:
      return visit([&](int64_t col, auto& v) {
        store_floats(static_cast<T*>(out.y) + at * n.cols + col, v);
      });
    case Output::staged:
      return visit([&](int64_t col, auto& v) {
        store_floats(static_cast<float*>(out.y) + at * n.cols + col, v);
      });
    case Output::largest:
      return find_row_largest(out.quant, reduction, visit);
    case Output::codes:
      return write_row_codes<Values::rounded>(out.quant, at, reduction, visit);
  }
}

// Host side
// -----------------------------------------------------------------------------------------

bool all_aligned(const RowNorm& n, const void* x, const RowOutput& out) {
  bool aligned = aligned_to(x, 16);
  for (const AnyFloat& p : {n.gain, n.offset}) aligned &= aligned_to(p.data, 16);
  return aligned && aligned_to(out.y, 16) && aligned_to(out.quant.codes, 8);
}

bool is_float_or_absent(const Call& call, size_t input) {
  return !has(call, input) || is_compute_type(dtype_of(call, input));
}

void launch_plain(const Call& call, const KernelState*, const Buffers& buffers) {
  RowNorm n = row_norm_of(call);
  if (n.rows * n.cols == 0) return;
  n.gain = any_float(call, buffers, 1);
  n.offset = any_float(call, buffers, 2);
  n.unit = n.gain.data ? 0.0f : 1.0f;
  launch_rows(call, n, buffers.inputs[0], {Output::plain, buffers.outputs[0], {}});
}

}  // namespace

void launch_rows(const Call& call, const RowNorm& n, const void* x, const RowOutput& out) {
  const DType dtype = dtype_of(call, 0);
  const auto is_of_type = [&](const AnyFloat& p) { return p.data && p.dtype == dtype; };
  with_compute_type(dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const bool vectors = n.cols % (16 / sizeof(T)) == 0 && all_aligned(n, x, out);
    // Without rows, one block still writes the scale.
    const RowLayout layout =
        filled_row_layout(std::max<int64_t>(n.rows, 1), n.cols, sizeof(T), vectors);
    with_packs(layout.packs, [&](auto packs) {
      const auto kernel = is_of_type(n.gain) && is_of_type(n.offset)
                              ? row_norm_kernel<T, T, packs>
                              : row_norm_kernel<T, void, packs>;
      launch<Start::overlapped>(call, kernel, layout.grid, layout.block, 0, x, n, out);
    });
  });
}

RowNorm row_norm_of(const Call& call) {
  const Shape& shape = shape_of(call, 0);
  RowNorm n = {};
  n.cols = shape.back();
  n.rows = element_count(Shape(shape.begin(), shape.end() - 1));
  n.cols_reciprocal = 1.0f / static_cast<float>(std::max<int64_t>(n.cols, 1));
  n.centred = call.op != Op::rms_norm;
  n.eps = static_cast<float>(call.attrs.get_double("eps"));
  n.rows_per_gain = n.rows_per_offset = std::max<int64_t>(n.rows, 1);
  return n;
}

Verdict supports_norm_inputs(const Call& call) {
  for (size_t i = 0; i < 3; ++i) {
    if (is_float_or_absent(call, i)) continue;
    return Verdict::no("input " + std::to_string(i) + " is not f32, f16 or bf16");
  }
  return Verdict::yes();
}

Verdict supports_plain_norm(const Call& call) {
  if (call.outputs[0].dtype != dtype_of(call, 0))
    return Verdict::no("the output is not of x's type");
  return supports_norm_inputs(call);
}

const Kernel kRmsNorm = {.name = "rms_norm_cuda",
                         .op = Op::rms_norm,
                         .supports = supports_plain_norm,
                         .launch = launch_plain,
                         .in_place = true};
const Kernel kLayerNorm = {.name = "layer_norm_cuda",
                           .op = Op::layer_norm,
                           .supports = supports_plain_norm,
                           .launch = launch_plain,
                           .in_place = true};

}  // namespace octavo::cuda
