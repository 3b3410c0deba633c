// rms_norm, layer_norm and norm_modulate: a row of x is normalised by a block, or by a warp where
// rows are short. The mean first, then the variance of what is left, both in f32 over a tree.
#include "kernels/cuda/row.cuh"
#include "kernels/cuda/row_codes.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

struct RowNorm {
  int64_t rows, cols;
  bool centred;  // less the mean
  float eps;
  AnyFloat w, b;          // [cols] or absent
  AnyFloat scale, shift;  // [samples, cols] or absent: y = norm (1 + scale) + shift
  int64_t rows_per_scale, rows_per_shift;
};

enum class Output : uint8_t { plain, staged, largest, codes };

struct RowOutput {
  Output kind;
  void* y;  // plain: of x's type, may be x; staged: f32
  QuantTarget quant;
};

// What one row is multiplied by and what is added.
class RowParameters {
 public:
  __device__ RowParameters(const RowNorm& n, int64_t row)
      : n_(n),
        scale_at_(n.scale.data ? row / n.rows_per_scale * n.cols : 0),
        shift_at_(n.scale.data ? row / n.rows_per_shift * n.cols : 0) {}

  template <int N>
  __device__ void apply(int64_t col, float (&v)[N]) const {
    float p[N];
    if (n_.w.data) {
      load_floats(n_.w, col, p);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] *= p[i];
    }
    if (n_.b.data) {
      load_floats(n_.b, col, p);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] += p[i];
    }
    if (n_.scale.data) {
      float shift[N];
      load_floats(n_.scale, scale_at_ + col, p);
      load_floats(n_.shift, shift_at_ + col, shift);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] = fmaf(v[i], 1.0f + p[i], shift[i]);
    }
  }

 private:
  const RowNorm& n_;
  int64_t scale_at_, shift_at_;
};

struct Moments {
  float mean, inverse_deviation;
};
template <class R, class Reduction>
__device__ Moments moments(const RowNorm& n, R& row, Reduction& reduction) {
  const auto count = static_cast<float>(n.cols);
  float mean = 0, sum = 0;
  if (n.centred) {
    row.each([&](int64_t, auto& v) {
#pragma unroll
      for (float x : v) sum += x;
    });
    mean = reduction.template reduce<Sum>(sum) / count;
    sum = 0;
  }
  row.each([&](int64_t, auto& v) {
#pragma unroll
    for (float x : v) sum = fmaf(x - mean, x - mean, sum);
  });
  const float variance = reduction.template reduce<Sum>(sum) / count;
  return {mean, 1.0f / sqrtf(variance + n.eps)};
}

template <class T, int kPacks>
__global__ void __launch_bounds__(kMostRowThreads)
    row_norm_kernel(const T* x, const __grid_constant__ RowNorm n,
                    const __grid_constant__ RowOutput out) {
  using R = Row<T, kPacks>;
  __shared__ RowReduction<3>::Slots slots;
  const int64_t at = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (blockIdx.x == 0 && threadIdx.x + threadIdx.y == 0 && out.kind == Output::codes) {
    publish_scale(out.quant);
  }
  if (at >= n.rows) return;
  RowReduction<3> reduction(slots);
  R row(x + at * n.cols, n.cols);
  const Moments m = moments(n, row, reduction);
  const RowParameters parameters(n, at);
  const auto finish = [&](int64_t col, auto& v) {
#pragma unroll
    for (float& y : v) y = (y - m.mean) * m.inverse_deviation;
    parameters.apply(col, v);
  };
  if constexpr (R::kHeld) row.each(finish);
  const auto visit = [&](auto&& f) {
    row.each([&](int64_t col, auto& v) {
      if constexpr (!R::kHeld) finish(col, v);
      f(col, v);
    });
  };
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
      return write_row_codes(out.quant, at, reduction, visit);
  }
}

// Host side
// -----------------------------------------------------------------------------------------

bool all_aligned(const RowNorm& n, const void* x, const RowOutput& out) {
  bool aligned = aligned_to(x, 16);
  for (const AnyFloat& p : {n.w, n.b, n.scale, n.shift}) aligned &= aligned_to(p.data, 16);
  return aligned && aligned_to(out.y, 16) && aligned_to(out.quant.codes, 8);
}

void launch_rows(const Call& call, const RowNorm& n, const void* x, const RowOutput& out) {
  with_compute_type(dtype_of(call, 0), [&](auto type) {
    using T = typename decltype(type)::type;
    const bool vectors = n.cols % (16 / sizeof(T)) == 0 && all_aligned(n, x, out);
    // Without rows, one block still writes the scale.
    const RowLayout layout = row_layout(std::max<int64_t>(n.rows, 1), n.cols, sizeof(T), vectors);
    with_packs(layout.packs, [&](auto packs) {
      launch(call, row_norm_kernel<T, packs>, layout.grid, layout.block, 0, x, n, out);
    });
  });
}

RowNorm row_norm_of(const Call& call) {
  const Shape& shape = shape_of(call, 0);
  RowNorm n = {};
  n.cols = shape.back();
  n.rows = element_count(Shape(shape.begin(), shape.end() - 1));
  n.centred = call.op != Op::rms_norm;
  n.eps = static_cast<float>(call.attrs.get_double("eps"));
  n.rows_per_scale = n.rows_per_shift = 1;
  return n;
}

bool is_float_or_absent(const Call& call, size_t input) {
  return !has(call, input) || is_compute_type(dtype_of(call, input));
}

Verdict supports_inputs(const Call& call) {
  for (size_t i = 0; i < 3; ++i) {
    if (is_float_or_absent(call, i)) continue;
    return Verdict::no("input " + std::to_string(i) + " is not f32, f16 or bf16");
  }
  return Verdict::yes();
}

Verdict supports_plain(const Call& call) {
  if (call.outputs[0].dtype != dtype_of(call, 0))
    return Verdict::no("the output is not of x's type");
  return supports_inputs(call);
}

void launch_plain(const Call& call, const KernelState*, const Buffers& buffers) {
  RowNorm n = row_norm_of(call);
  if (n.rows * n.cols == 0) return;
  n.w = any_float(call, buffers, 1);
  n.b = any_float(call, buffers, 2);
  launch_rows(call, n, buffers.inputs[0], {Output::plain, buffers.outputs[0], {}});
}

// norm_modulate
// -------------------------------------------------------------------------------------

enum Input : size_t { kX, kScale, kShift, kOutScale };

Verdict supports_modulate(const Call& call) {
  const Verdict inputs = supports_inputs(call);
  if (!inputs.supported) return inputs;
  if (!call.attrs.has("out_spec")) return supports_plain(call);
  return supports_out_quant(call, kOutScale);
}

// Rows of x that share a row of the operand [B, D] or [1, D].
int64_t rows_per_sample(const Call& call, size_t input, int64_t rows) {
  const Shape& shape = shape_of(call, input);
  const int64_t samples = element_count(Shape(shape.begin(), shape.end() - 1));
  return std::max<int64_t>(1, rows / std::max<int64_t>(1, samples));
}

void launch_modulate(const Call& call, const KernelState*, const Buffers& buffers) {
  RowNorm n = row_norm_of(call);
  n.scale = any_float(call, buffers, kScale);
  n.shift = any_float(call, buffers, kShift);
  n.rows_per_scale = rows_per_sample(call, kScale, n.rows);
  n.rows_per_shift = rows_per_sample(call, kShift, n.rows);
  const void* x = buffers.inputs[kX];
  const OutQuant quant = begin_out_quant(call, buffers, kOutScale, buffers.workspace);
  const bool empty = n.rows * n.cols == 0;
  if (quant.target.mode == QuantMode::none || quant.staged) {
    void* y = quant.staged ? quant.staged : buffers.outputs[0];
    if (!empty) {
      launch_rows(call, n, x, {quant.staged ? Output::staged : Output::plain, y, quant.target});
    }
    return finish_out_quant(call, quant);
  }
  if (quant.target.mode == QuantMode::tensor && !empty) {
    launch_rows(call, n, x, {Output::largest, nullptr, quant.target});
  }
  launch_rows(call, n, x, {Output::codes, nullptr, quant.target});
}

}  // namespace

const Kernel kRmsNorm = {.name = "rms_norm_cuda",
                         .op = Op::rms_norm,
                         .supports = supports_plain,
                         .launch = launch_plain,
                         .in_place = true};
const Kernel kLayerNorm = {.name = "layer_norm_cuda",
                           .op = Op::layer_norm,
                           .supports = supports_plain,
                           .launch = launch_plain,
                           .in_place = true};
const Kernel kNormModulate = {
    .name = "norm_modulate_cuda",
    .op = Op::norm_modulate,
    .supports = supports_modulate,
    .workspace = [](const Call& call, const KernelState*) { return out_quant_workspace(call); },
    .launch = launch_modulate};

}  // namespace octavo::cuda
