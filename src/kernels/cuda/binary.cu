// add, sub, mul, div with NumPy broadcasting. Axes that broadcast alike are merged, so that
// operands of one shape are one row, [.., D] with [D] is two axes, with [B, 1, D] three; along the
// innermost axis an operand is read in packs of 16 bytes or repeats one element.
#include "kernels/cuda/index.cuh"
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Sub {
  __device__ float operator()(float a, float b) const { return a - b; }
};
struct Mul {
  __device__ float operator()(float a, float b) const { return a * b; }
};
struct Div {
  __device__ float operator()(float a, float b) const { return a / b; }
};

constexpr int kBlock = 256;
constexpr int kPacks = 2;  // a thread's

template <class T>
struct Source {
  const T* data;
  bool repeats;  // along the innermost axis

  template <int N>
  __device__ Pack<T, N> load(int64_t at) const {
    if (!repeats) return *reinterpret_cast<const Pack<T, N>*>(data + at);
    Pack<T, N> pack;
#pragma unroll
    for (int j = 0; j < N; ++j) pack.v[j] = data[at];
    return pack;
  }
  __device__ float element(int64_t at, int64_t j) const {
    return to_float(data[repeats ? at : at + j]);
  }
};

// `index` counts packs of the output, whose n elements are a whole number of packs unless there is
// but one axis. y may be a's data.
template <int N, class T, class F>
__global__ void binary_kernel(Source<T> a, Source<T> b, T* y,
                              const __grid_constant__ Index<2> index, int64_t n, F f) {
  await_earlier_launches();
  const int64_t block = int64_t{blockIdx.x} * (kPacks * kBlock);
  Pack<T, N> left[kPacks], right[kPacks];
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int64_t pack = block + k * kBlock + threadIdx.x;
    if ((pack + 1) * N > n) continue;
    const Offsets<2> at = index.at(pack);
    left[k] = a.template load<N>(at.of[0]);
    right[k] = b.template load<N>(at.of[1]);
  }
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int64_t pack = block + k * kBlock + threadIdx.x;
    if ((pack + 1) * N <= n) {
      Pack<T, N> out;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        out.v[j] = from_float<T>(f(to_float(left[k].v[j]), to_float(right[k].v[j])));
      }
      *reinterpret_cast<Pack<T, N>*>(y + pack * N) = out;
    } else if (pack * N < n) {
      const Offsets<2> at = index.at(pack);
#pragma unroll 1
      for (int64_t j = 0; j < n - pack * N; ++j) {
        y[pack * N + j] = from_float<T>(f(a.element(at.of[0], j), b.element(at.of[1], j)));
      }
    }
  }
}

Verdict supports(const Call& call) {
  const DType a = dtype_of(call, 0), b = dtype_of(call, 1);
  if (!is_compute_type(a)) return Verdict::no("a is not f32, f16 or bf16");
  if (a != b || a != call.outputs[0].dtype) return Verdict::no("the types of a, b and y differ");
  return supports_rank(call);
}

Axes<2> axes_of(const Call& call) {
  const Shape& out = call.outputs[0].shape;
  const auto a = broadcast_steps(shape_of(call, 0), out),
             b = broadcast_steps(shape_of(call, 1), out);
  Axes<2> axes;
  for (size_t axis = 0; axis < out.size(); ++axis) {
    axes.push_back({out[axis], {a[axis], b[axis]}});
  }
  return merged(axes);
}

// Steps along outer axes are multiples of the innermost extent, so aligned rows stay aligned.
template <int N, class T, class F>
void launch_packs(const Call& call, Axes<2> axes, Source<T> a, Source<T> b, void* y, F f) {
  const int64_t n = element_count(call.outputs[0].shape);
  Axis<2>& row = axes[0];
  row = {(row.extent + N - 1) / N, {row.step[0] * N, row.step[1] * N}};
  launch<Start::overlapped>(
      call, binary_kernel<N, T, F>,
      blocks_for((n + N - 1) / N, kBlock * kPacks, std::numeric_limits<int>::max()), kBlock, 0, a,
      b, y, Index<2>(axes), n, f);
}

template <class F>
void launch_binary(const Call& call, const KernelState*, const Buffers& buffers) {
  if (element_count(call.outputs[0].shape) == 0) return;
  const Axes<2> axes = axes_of(call);
  with_compute_type(dtype_of(call, 0), [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kWide = 16 / sizeof(T);
    const auto source = [&](size_t i) {
      return Source<T>{static_cast<const T*>(buffers.inputs[i]), axes[0].step[i] == 0};
    };
    const Source<T> a = source(0), b = source(1);
    const bool wide = (axes.size() == 1 || axes[0].extent % kWide == 0) &&
                      is_aligned(buffers.outputs[0], 16) && (a.repeats || is_aligned(a.data, 16)) &&
                      (b.repeats || is_aligned(b.data, 16));
    if (wide) {
      launch_packs<kWide>(call, axes, a, b, buffers.outputs[0], F{});
    } else {
      launch_packs<1>(call, axes, a, b, buffers.outputs[0], F{});
    }
  });
}

template <class F>
constexpr Kernel kernel(const char* name, Op op) {
  return {
      .name = name, .op = op, .supports = supports, .launch = launch_binary<F>, .in_place = true};
}

}  // namespace

const Kernel kAdd = kernel<Add>("add_cuda", Op::add);
const Kernel kSub = kernel<Sub>("sub_cuda", Op::sub);
const Kernel kMul = kernel<Mul>("mul_cuda", Op::mul);
const Kernel kDiv = kernel<Div>("div_cuda", Op::div);

}  // namespace octavo::cuda
