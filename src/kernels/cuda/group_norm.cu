// group_norm: a group is too large for one block, so statistics come in parts. Each part has its
// mean and the squares about it; they are merged in order (Chan, Golub, LeVeque), then applied.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/row.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kPacks = 4;

struct Moments {
  float mean, squares;  // sum of (x - mean)^2
};

struct GroupNorm {
  int64_t rows, cols;                   // a row is one group of one sample
  int64_t part, parts;                  // elements of a part, parts of a row
  int64_t groups, channels, positions;  // channels: of a group; cols = channels * positions
  float eps;
  bool silu;
  AnyFloat w, b;     // [groups * channels] or absent
  Moments* partial;  // [rows, parts]
  Moments* merged;   // [rows]: mean and 1 / sqrt(variance + eps)

  __device__ int64_t count(int64_t p) const { return min(part, cols - p * part); }
};

template <class T, int kRowPacks>
__global__ void __launch_bounds__(kBlock)
    partial_kernel(const T* x, const __grid_constant__ GroupNorm g) {
  __shared__ RowReduction<2>::Slots slots;
  RowReduction<2> reduction(slots);
  const int64_t row = blockIdx.x / g.parts, p = blockIdx.x % g.parts, n = g.count(p);
  Row<T, kRowPacks> values(x + row * g.cols + p * g.part, n);
  float sum = 0, squares = 0;
  values.each([&](int64_t, auto& v) {
#pragma unroll
    for (float a : v) sum += a;
  });
  const float mean = reduction.reduce<Sum>(sum) / static_cast<float>(n);
  values.each([&](int64_t, auto& v) {
#pragma unroll
    for (float a : v) squares = fmaf(a - mean, a - mean, squares);
  });
  squares = reduction.reduce<Sum>(squares);
  if (threadIdx.x == 0) g.partial[blockIdx.x] = {mean, squares};
}

// A block a row.
__global__ void __launch_bounds__(kBlock) merge_kernel(const __grid_constant__ GroupNorm g) {
  __shared__ RowReduction<2>::Slots slots;
  RowReduction<2> reduction(slots);
  const Moments* parts = g.partial + blockIdx.x * g.parts;
  float sum = 0, squares = 0;
  for (int64_t p = threadIdx.x; p < g.parts; p += kBlock) {
    sum = fmaf(parts[p].mean, static_cast<float>(g.count(p)), sum);
  }
  const float mean = reduction.reduce<Sum>(sum) / static_cast<float>(g.cols);
  for (int64_t p = threadIdx.x; p < g.parts; p += kBlock) {
    const float off = parts[p].mean - mean;
    squares += fmaf(static_cast<float>(g.count(p)), off * off, parts[p].squares);
  }
  const float variance = reduction.reduce<Sum>(squares) / static_cast<float>(g.cols);
  if (threadIdx.x == 0) g.merged[blockIdx.x] = {mean, 1.0f / sqrtf(variance + g.eps)};
}

template <class T, int kRowPacks>
__global__ void __launch_bounds__(kBlock)
    apply_kernel(const T* x, T* y, const __grid_constant__ GroupNorm g) {
  const int64_t row = blockIdx.x / g.parts, p = blockIdx.x % g.parts;
  const int64_t first = row % g.groups * g.channels, begin = p * g.part;
  const Moments m = g.merged[row];
  const auto finish = [&](float a, int64_t c) {
    a = (a - m.mean) * m.squares;
    if (g.w.data) a *= g.w[c];
    if (g.b.data) a += g.b[c];
    return g.silu ? silu(a) : a;
  };
  Row<T, kRowPacks> values(x + row * g.cols + begin, g.count(p));
  values.each([&](int64_t col, auto& v) {
    constexpr int kVec = Row<T, kRowPacks>::kVec;
    const auto at = begin + col;
    const int64_t c = first + at / g.positions;
    if (g.positions % kVec == 0) {  // one channel
#pragma unroll
      for (int i = 0; i < kVec; ++i) v[i] = finish(v[i], c);
    } else {
      for (int i = 0; i < kVec; ++i) v[i] = finish(v[i], first + (at + i) / g.positions);
    }
    store_floats(y + row * g.cols + at, v);
  });
}

GroupNorm group_norm_of(const Call& call) {
  const Shape& shape = shape_of(call, 0);
  GroupNorm g = {};
  g.groups = call.attrs.get_int("groups");
  g.channels = shape[1] / g.groups;
  g.positions = element_count(Shape(shape.begin() + 2, shape.end()));
  g.rows = shape[0] * g.groups;
  g.cols = g.channels * g.positions;
  g.part = int64_t{kBlock} * kPacks * 16 / (info(dtype_of(call, 0)).bits / 8);
  g.parts = (g.cols + g.part - 1) / g.part;
  g.eps = static_cast<float>(call.attrs.get_double("eps"));
  g.silu = call.attrs.get_string_or("activation", "none") == "silu";
  return g;
}

size_t workspace(const Call& call, const KernelState*) {
  const GroupNorm g = group_norm_of(call);
  return static_cast<size_t>(g.rows * (g.parts + 1)) * sizeof(Moments);
}

Verdict supports(const Call& call) {
  for (size_t i = 0; i < 3; ++i) {
    if (has(call, i) && !is_compute_type(dtype_of(call, i))) {
      return Verdict::no("input " + std::to_string(i) + " is not f32, f16 or bf16");
    }
  }
  if (call.outputs[0].dtype != dtype_of(call, 0))
    return Verdict::no("the output is not of x's type");
  const std::string activation = call.attrs.get_string_or("activation", "none");
  if (activation != "none" && activation != "silu") {
    return Verdict::no("activation " + activation + " is not none or silu");
  }
  const GroupNorm g = group_norm_of(call);
  if (g.rows * g.parts > 0x7fffffff) return Verdict::no("more than 2^31 parts of groups");
  return Verdict::yes();
}

template <class T, int kRowPacks>
void launch_kernels(const Call& call, const GroupNorm& g, const void* x, void* y) {
  const dim3 parts(static_cast<unsigned>(g.rows * g.parts));
  launch(call, partial_kernel<T, kRowPacks>, parts, kBlock, 0, x, g);
  launch(call, merge_kernel, dim3(static_cast<unsigned>(g.rows)), kBlock, 0, g);
  launch(call, apply_kernel<T, kRowPacks>, parts, kBlock, 0, x, y, g);
}

void launch_group_norm(const Call& call, const KernelState*, const Buffers& buffers) {
  GroupNorm g = group_norm_of(call);
  if (g.rows * g.cols == 0) return;
  g.w = any_float(call, buffers, 1);
  g.b = any_float(call, buffers, 2);
  g.partial = static_cast<Moments*>(buffers.workspace);
  g.merged = g.partial + g.rows * g.parts;
  const void* x = buffers.inputs[0];
  void* y = buffers.outputs[0];
  with_compute_type(dtype_of(call, 0), [&](auto type) {
    using T = typename decltype(type)::type;
    if (g.cols % (16 / sizeof(T)) == 0 && aligned_to(x, 16) && aligned_to(y, 16)) {
      launch_kernels<T, kPacks>(call, g, x, y);
    } else {
      launch_kernels<T, 0>(call, g, x, y);
    }
  });
}

}  // namespace

const Kernel kGroupNorm = {.name = "group_norm_cuda",
                           .op = Op::group_norm,
                           .supports = supports,
                           .workspace = workspace,
                           .launch = launch_group_norm,
                           .in_place = true};

}  // namespace octavo::cuda
