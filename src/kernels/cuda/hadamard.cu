// y = H x / sqrt(block) of each block of the last axis, by butterflies in f32: a thread keeps eight
// elements, three bits of the index, and passes over further bits go through shared memory.
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/cuda/row.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr int kThreads = 256, kEach = 8, kEachBits = 3;
constexpr int kLeastTile = kThreads * kEach;  // elements of a thread block
constexpr int kMostBits = 15;                 // a block's elements in shared memory, as f32

struct Problem {
  int64_t elements;
  int bits, tile;  // of a block; elements of a tile, a multiple of the block and of eight
  float factor;
};

// Levels [from, to) of the butterflies among a thread's elements.
__device__ void combine(float (&v)[kEach], int from, int to) {
#pragma unroll
  for (int level = 0; level < kEachBits; ++level) {
    if (level < from || level >= to) continue;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (i >> level & 1) continue;
      const float a = v[i], b = v[i | 1 << level];
      v[i] = a + b;
      v[i | 1 << level] = a - b;
    }
  }
}

// Where an element of a tile lies in shared memory: neighbours of eight stay together, and those 64
// apart are in different banks.
__device__ int padded(int at) { return at + at / 64 * 8; }

template <class T>
__device__ void load(const T* x, int64_t at, int64_t elements, bool vectors, float (&v)[kEach]) {
  if (vectors && at + kEach <= elements) return load_floats(x + at, v);
#pragma unroll
  for (int i = 0; i < kEach; ++i) v[i] = at + i < elements ? to_float(x[at + i]) : 0.0f;
}
template <class T>
__device__ void store(T* y, int64_t at, int64_t elements, bool vectors, const float (&v)[kEach]) {
  if (vectors && at + kEach <= elements) return store_floats(y + at, v);
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    if (at + i < elements) y[at + i] = from_float<T>(v[i]);
  }
}

// One pass over the tile: the index's bits [base, base + 3), of which the first `from` are done.
__device__ void pass(float* tile, int elements, int base, int from) {
  for (int t = threadIdx.x; t < elements / kEach; t += kThreads) {
    const int first = (t >> base << (base + kEachBits)) | (t & ((1 << base) - 1));
    float v[kEach];
#pragma unroll
    for (int i = 0; i < kEach; ++i) v[i] = tile[padded(first + (i << base))];
    combine(v, from, kEachBits);
#pragma unroll
    for (int i = 0; i < kEach; ++i) tile[padded(first + (i << base))] = v[i];
  }
}

// y may be x: a thread block has read its tile before it writes there.
template <class T>
__global__ void __launch_bounds__(kThreads)
    hadamard_kernel(const T* x, T* y, const Problem p, bool vectors) {
  extern __shared__ __align__(16) float tile[];
  await_earlier_launches();
  const int64_t begin = int64_t{blockIdx.x} * p.tile;
  const bool alone = p.bits <= kEachBits;  // a thread has whole blocks
  for (int at = static_cast<int>(threadIdx.x) * kEach; at < p.tile; at += kLeastTile) {
    float v[kEach];
    load(x, begin + at, p.elements, vectors, v);
    combine(v, 0, min(p.bits, kEachBits));
#pragma unroll
    for (float& each : v) each *= p.factor;
    if (alone) {
      store(y, begin + at, p.elements, vectors, v);
    } else {
      store_floats(tile + padded(at), v);
    }
  }
  if (alone) return;
  for (int done = kEachBits; done < p.bits; done += kEachBits) {
    const int base = min(done, p.bits - kEachBits);
    __syncthreads();
    pass(tile, p.tile, base, done - base);
  }
  __syncthreads();
  for (int at = static_cast<int>(threadIdx.x) * kEach; at < p.tile; at += kLeastTile) {
    float v[kEach];
    load_floats(tile + padded(at), v);
    store(y, begin + at, p.elements, vectors, v);
  }
}

int bits_of(const Call& call) {
  return std::countr_zero(static_cast<uint64_t>(call.attrs.get_int("block")));
}

Verdict supports(const Call& call) {
  if (!is_compute_type(dtype_of(call, 0))) return Verdict::no("x is not f32, f16 or bf16");
  if (call.outputs[0].dtype != dtype_of(call, 0)) {
    return Verdict::no("the output is not of x's type");
  }
  if (bits_of(call) > kMostBits) {
    return Verdict::no("blocks of " + std::to_string(call.attrs.get_int("block")) +
                       " elements do not fit into shared memory");
  }
  return Verdict::yes();
}

template <class T>
void launch_type(const Call& call, const Buffers& buffers, const Problem& p) {
  const auto kernel = hadamard_kernel<T>;
  const size_t shared = p.bits > kEachBits ? sizeof(float) * (p.tile + p.tile / 64 * 8) : 0;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared)),
        "hadamard's shared memory");
  const void* x = buffers.inputs[0];
  void* y = buffers.outputs[0];
  const bool vectors = aligned_to(x, 16) && aligned_to(y, 16);
  launch<Start::overlapped>(call, kernel,
                            blocks_for(p.elements, p.tile, std::numeric_limits<int>::max()),
                            kThreads, shared, x, y, p, vectors);
}

void launch_hadamard(const Call& call, const KernelState*, const Buffers& buffers) {
  const int bits = bits_of(call);
  const Problem p = {.elements = element_count(shape_of(call, 0)),
                     .bits = bits,
                     .tile = std::max(1 << bits, kLeastTile),
                     .factor = static_cast<float>(1 / std::sqrt(std::ldexp(1.0, bits)))};
  with_compute_type(dtype_of(call, 0), [&](auto type) {
    launch_type<typename decltype(type)::type>(call, buffers, p);
  });
}

}  // namespace

const Kernel kHadamard = {.name = "hadamard_cuda",
                          .op = Op::hadamard,
                          .supports = supports,
                          .launch = launch_hadamard,
                          .in_place = true};

}  // namespace octavo::cuda
