// rope and qk_norm_rope: rotation of interleaved pairs of x[B, S, H, D], after rms_norm of a head's
// D elements without rounding between the two. Heads of at most 32 packs of 16 bytes are held by
// neighbouring lanes, which read a position's angles once for several heads.
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/row.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

struct Rotary {
  int64_t positions, sequence, heads, depth;  // positions: B S
  bool norm;
  float eps, depth_reciprocal;
  AnyFloat w;              // [depth], of the norm
  const float *cos, *sin;  // [sequence, depth / 2]
};

__device__ float sum_lanes(float v, unsigned lanes) {
  for (unsigned step = lanes / 2; step > 0; step /= 2) {
    v += __shfl_xor_sync(0xffffffffu, v, static_cast<int>(step));
  }
  return v;
}
__device__ float inverse_rms(const Rotary& r, float squares) {
  return inverse_root(fmaf(squares, r.depth_reciprocal, r.eps));
}
__device__ int64_t sequence_index(const Rotary& r, int64_t position) {
  return position < r.sequence ? position : position % r.sequence;
}

// What a lane multiplies its elements with, the same for all heads of a position.
template <int kVec>
struct LaneFactors {
  float w[kVec], cos[kVec / 2], sin[kVec / 2];

  __device__ LaneFactors(const Rotary& r, int64_t position, int64_t at) {
    const int64_t pair = sequence_index(r, position) * (r.depth / 2) + at / 2;
    load_floats(r.cos + pair, cos);
    load_floats(r.sin + pair, sin);
    if (r.norm) load_floats(r.w, at, w);
  }
  __device__ void apply(float (&v)[kVec], float factor, bool norm) const {
    if (norm) {
#pragma unroll
      for (int i = 0; i < kVec; ++i) v[i] = v[i] * factor * w[i];
    }
#pragma unroll
    for (int i = 0; i < kVec; i += 2) {
      const float even = v[i], odd = v[i + 1], c = cos[i / 2], s = sin[i / 2];
      v[i] = fmaf(even, c, -(odd * s));
      v[i + 1] = fmaf(odd, c, even * s);
    }
  }
};

constexpr int kBlock = 512;  // at most
constexpr int kBatch = 3;    // heads that a lane loads before it uses them

// blockDim = (lanes of a head, a power of two; heads; positions), whole warps.
template <class T>
__global__ void __launch_bounds__(kBlock, 2)
    rotary_kernel(const T* x, T* y, const __grid_constant__ Rotary r) {
  constexpr int kVec = 16 / sizeof(T);
  await_earlier_launches();
  const int64_t position = int64_t{blockIdx.x} * blockDim.z + threadIdx.z;
  const int at = static_cast<int>(threadIdx.x) * kVec;
  const int heads = static_cast<int>(r.heads), depth = static_cast<int>(r.depth);
  // Lanes without work stay: others of the warp shuffle with them.
  const bool active = position < r.positions && at < depth;
  const int64_t begin = position * r.heads * r.depth + at;
  for (int first = 0; first < heads; first += static_cast<int>(blockDim.y) * kBatch) {
    const auto head = [&](int b) {
      return first + b * static_cast<int>(blockDim.y) + static_cast<int>(threadIdx.y);
    };
    uint4 raw[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      raw[b] = {};
      if (active && head(b) < heads) {
        raw[b] = *reinterpret_cast<const uint4*>(x + begin + int64_t{head(b)} * depth);
      }
    }
    const LaneFactors<kVec> factors(r, active ? position : 0, active ? at : 0);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      float v[kVec], squares = 0;
      widen<T>(raw[b], v);
#pragma unroll
      for (int i = 0; i < kVec; ++i) squares = fmaf(v[i], v[i], squares);
      const float factor = r.norm ? inverse_rms(r, sum_lanes(squares, blockDim.x)) : 1.0f;
      factors.apply(v, factor, r.norm);
      if (active && head(b) < heads) store_floats(y + begin + int64_t{head(b)} * depth, v);
    }
  }
}

constexpr int kPairsBlock = 128;

// Any depth and alignment: a warp a head.
template <class T>
__global__ void __launch_bounds__(kPairsBlock)
    rotary_pairs_kernel(const T* x, T* y, const __grid_constant__ Rotary r) {
  const int64_t row = int64_t{blockIdx.x} * (kPairsBlock / 32) + threadIdx.x / 32;
  if (row >= r.positions * r.heads) return;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const T* from = x + row * r.depth;
  float factor = 1.0f;
  if (r.norm) {
    float squares = 0;
    for (int64_t i = lane; i < r.depth; i += 32) {
      squares = fmaf(to_float(from[i]), to_float(from[i]), squares);
    }
    factor = inverse_rms(r, sum_lanes(squares, 32));
  }
  const int64_t angles = sequence_index(r, row / r.heads) * (r.depth / 2);
  for (int64_t pair = lane; pair < r.depth / 2; pair += 32) {
    float even = to_float(from[2 * pair]), odd = to_float(from[2 * pair + 1]);
    if (r.norm) {
      even = even * factor * r.w[2 * pair];
      odd = odd * factor * r.w[2 * pair + 1];
    }
    const float c = r.cos[angles + pair], s = r.sin[angles + pair];
    y[row * r.depth + 2 * pair] = from_float<T>(fmaf(even, c, -(odd * s)));
    y[row * r.depth + 2 * pair + 1] = from_float<T>(fmaf(odd, c, even * s));
  }
}

// The largest power of two that is at most n >= 1.
int64_t floor_power(int64_t n) {
  int64_t power = 1;
  while (2 * power <= n) power *= 2;
  return power;
}

template <class T>
void launch_type(const Call& call, const Buffers& buffers, const Rotary& r) {
  constexpr int64_t kVec = 16 / sizeof(T);
  const void* x = buffers.inputs[0];
  void* y = buffers.outputs[0];
  bool vectors = r.depth % kVec == 0 && r.depth / kVec <= 32;
  for (const void* address : {x, static_cast<const void*>(y), r.w.data,
                              static_cast<const void*>(r.cos), static_cast<const void*>(r.sin)}) {
    vectors &= aligned_to(address, 16);
  }
  if (!vectors) {
    const int64_t rows = r.positions * r.heads, per_block = kPairsBlock / 32;
    launch(call, rotary_pairs_kernel<T>,
           dim3(static_cast<unsigned>((rows + per_block - 1) / per_block)), kPairsBlock, 0, x, y,
           r);
    return;
  }
  const int64_t packs = r.depth / kVec, most = floor_power(packs);
  const int64_t lanes = most == packs ? packs : 2 * most;
  // Of a position, a thread does kBatch heads where a block may be that large. Short positions
  // share a block, so that it is whole warps.
  int64_t heads = std::min((r.heads + kBatch - 1) / kBatch, kBlock / lanes);
  if (lanes * heads > 16) heads = (lanes * heads + 31) / 32 * 32 / lanes;
  int64_t positions = std::clamp<int64_t>(128 / (lanes * heads), 1, 64);
  while (lanes * heads * positions % 32 != 0) ++positions;
  const dim3 block(static_cast<unsigned>(lanes), static_cast<unsigned>(heads),
                   static_cast<unsigned>(positions));
  launch<Start::overlapped>(call, rotary_kernel<T>,
                            dim3(static_cast<unsigned>((r.positions + positions - 1) / positions)),
                            block, 0, x, y, r);
}

Rotary rotary_of(const Call& call) {
  const Shape& shape = shape_of(call, 0);
  Rotary r = {};
  r.positions = shape[0] * shape[1];
  r.sequence = shape[1], r.heads = shape[2], r.depth = shape[3];
  r.depth_reciprocal = 1.0f / static_cast<float>(std::max<int64_t>(r.depth, 1));
  return r;
}

void launch_rotary(const Call& call, const Buffers& buffers, Rotary r, size_t cos) {
  if (element_count(shape_of(call, 0)) == 0) return;
  r.cos = static_cast<const float*>(buffers.inputs[cos]);
  r.sin = static_cast<const float*>(buffers.inputs[cos + 1]);
  with_compute_type(dtype_of(call, 0), [&](auto type) {
    launch_type<typename decltype(type)::type>(call, buffers, r);
  });
}

Verdict supports_types(const Call& call, size_t cos) {
  if (!is_compute_type(dtype_of(call, 0))) return Verdict::no("x is not f32, f16 or bf16");
  if (call.outputs[0].dtype != dtype_of(call, 0))
    return Verdict::no("the output is not of x's type");
  if (dtype_of(call, cos) != DType::f32 || dtype_of(call, cos + 1) != DType::f32) {
    return Verdict::no("cos and sin are not f32");
  }
  return Verdict::yes();
}

// Inputs: rope x, cos, sin; qk_norm_rope x, w, cos, sin.
constexpr size_t kRopeCos = 1, kNormWeight = 1, kNormCos = 2;

Verdict supports_rope(const Call& call) { return supports_types(call, kRopeCos); }
Verdict supports_norm(const Call& call) {
  if (!is_compute_type(dtype_of(call, kNormWeight)))
    return Verdict::no("w is not f32, f16 or bf16");
  return supports_types(call, kNormCos);
}

void launch_rope(const Call& call, const KernelState*, const Buffers& buffers) {
  launch_rotary(call, buffers, rotary_of(call), kRopeCos);
}
void launch_norm(const Call& call, const KernelState*, const Buffers& buffers) {
  Rotary r = rotary_of(call);
  r.norm = true;
  r.eps = static_cast<float>(call.attrs.get_double("eps"));
  r.w = any_float(call, buffers, kNormWeight);
  launch_rotary(call, buffers, r, kNormCos);
}

}  // namespace

const Kernel kRope = {.name = "rope_cuda",
                      .op = Op::rope,
                      .supports = supports_rope,
                      .launch = launch_rope,
                      .in_place = true};
const Kernel kQkNormRope = {.name = "qk_norm_rope_cuda",
                            .op = Op::qk_norm_rope,
                            .supports = supports_norm,
                            .launch = launch_norm,
                            .in_place = true};

}  // namespace octavo::cuda
