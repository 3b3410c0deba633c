#pragma once
// y[i] = f(x[i]), 16 bytes at a time.
#include <algorithm>
#include <limits>

#include "kernels/cuda/element.cuh"

namespace octavo::cuda {

inline bool is_aligned(const void* p, size_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

constexpr int kMapBlock = 256;
constexpr int kMapPacks = 2;  // a thread's; all are loaded before the first is used

// y may be x: an element is read only by the thread that writes it.
template <int N, class To, class From, class F>
__global__ void map_kernel(const From* x, To* y, int64_t n, F f) {
  await_earlier_launches();
  const int64_t block = int64_t{blockIdx.x} * (kMapPacks * kMapBlock * N);
  Pack<From, N> in[kMapPacks];
#pragma unroll
  for (int k = 0; k < kMapPacks; ++k) {
    const int64_t i = block + (k * kMapBlock + threadIdx.x) * N;
    if (i + N <= n) in[k] = *reinterpret_cast<const Pack<From, N>*>(x + i);
  }
#pragma unroll
  for (int k = 0; k < kMapPacks; ++k) {
    const int64_t i = block + (k * kMapBlock + threadIdx.x) * N;
    if (i + N <= n) {
      Pack<To, N> out;
#pragma unroll
      for (int j = 0; j < N; ++j) out.v[j] = f(in[k].v[j]);
      *reinterpret_cast<Pack<To, N>*>(y + i) = out;
    } else {
#pragma unroll 1
      for (int64_t j = i; j < n; ++j) y[j] = f(x[j]);
    }
  }
}

template <class To, class From, class F>
void launch_map(const Call& call, const void* x, void* y, int64_t n, F f) {
  constexpr int kWide = static_cast<int>(16 / std::max(sizeof(To), sizeof(From)));
  const auto run = [&](auto* kernel, int width) {
    launch<Start::overlapped>(
        call, kernel, blocks_for(n, kMapBlock * kMapPacks * width, std::numeric_limits<int>::max()),
        kMapBlock, 0, x, y, n, f);
  };
  if (is_aligned(x, sizeof(From) * kWide) && is_aligned(y, sizeof(To) * kWide)) {
    run(map_kernel<kWide, To, From, F>, kWide);
  } else {
    run(map_kernel<1, To, From, F>, 1);
  }
}

}  // namespace octavo::cuda
