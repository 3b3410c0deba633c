#include "cuda_gemm_check.h"

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace octavo::bench {

using cuda::sm90::Activation;
using cuda::sm90::Element;
using cuda::sm90::Gemm;
using cuda::sm90::Output;

void must(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::printf("%s: %s\n", what, cudaGetErrorString(status));
  std::exit(1);
}

void* device_alloc(size_t bytes) {
  void* data = nullptr;
  must(cudaMalloc(&data, bytes + 1024), "cudaMalloc");
  return data;
}

namespace {

constexpr int kBlock = 256;

__device__ uint32_t hash(uint32_t x) {
  x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu;
  return x ^ (x >> 16);
}
// Nearly normal: the sum of four uniform values, of variance 1.
__device__ float normal(uint32_t i, uint32_t seed) {
  float sum = 0;
  for (uint32_t j = 0; j < 4; ++j) sum += hash(4 * i + j + seed * 0x9e3779b9u) * 0x1p-32f - 0.5f;
  return sum * 1.7320508f;
}

__device__ float load(Element element, const void* data, int64_t i) {
  if (element == Element::bf16) return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
  if (element == Element::i8) return static_cast<const int8_t*>(data)[i];
  return static_cast<float>(static_cast<const __nv_fp8_e4m3*>(data)[i]);
}

__global__ void fill_kernel(Element element, void* data, int64_t count, uint32_t seed) {
  const int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (i >= count) return;
  const float v = normal(static_cast<uint32_t>(i), seed);
  if (element == Element::bf16) static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16_rn(v);
  if (element == Element::e4m3) static_cast<__nv_fp8_e4m3*>(data)[i] = __nv_fp8_e4m3(v * 120.0f);
  if (element == Element::i8) static_cast<int8_t*>(data)[i] = static_cast<int8_t>(rintf(v * 36.0f));
}

__global__ void fill_f32_kernel(float* data, int64_t count, uint32_t seed, float low, float high) {
  const int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (i >= count) return;
  data[i] = low + (high - low) * (hash(static_cast<uint32_t>(i) + seed * 77777u) * 0x1p-32f);
}

struct Counts {
  unsigned long long wrong;
  double errors, values;
};

__device__ double activated(Activation activation, double v) {
  switch (activation) {
    case Activation::silu:
      return v / (1 + exp(-v));
    case Activation::gelu:
      return 0.5 * v * erfc(-v * 0.70710678118654752);
    case Activation::gelu_tanh:
      return 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
    default:
      return v;
  }
}

__device__ float side(Output output, const void* data, int64_t i) {
  if (output == Output::f32) return static_cast<const float*>(data)[i];
  return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
}

// The sum of element (row, col) with its scales and bias, and what becomes of that, before the
// rounding to y's type. Every step rounds to f32 as the kernel's do, so that exact sums give exact
// bits.
__device__ float scaled(const Gemm& g, int64_t row, int64_t col, double sum) {
  const cuda::sm90::Epilogue& e = g.epilogue;
  float v = static_cast<float>(sum);
  if (e.x_scale) {
    v = v * (e.x_scale[e.x_by_row ? row : 0] * e.w_scale[e.w_by_row ? col : 0]);
  }
  if (!e.bias) return v;
  return v + (e.bias_bytes == 4 ? static_cast<const float*>(e.bias)[col]
                                : __bfloat162float(static_cast<const __nv_bfloat16*>(e.bias)[col]));
}
struct Finished {
  float value, reach;  // how far the kernel's roundings and its activation's may take it
};
__device__ Finished finished(const Gemm& g, int64_t row, int64_t col, float v) {
  const cuda::sm90::Epilogue& e = g.epilogue;
  float reach = 0;
  if (e.activation != Activation::none) {
    reach = 16 * 0x1p-24f * fabsf(v);
    v = static_cast<float>(activated(e.activation, v));
  }
  if (e.gate) {
    const float gate = side(g.output, e.gate, row / e.rows_per_sample * g.n + col);
    v = gate * v, reach = fabsf(gate) * reach;
  }
  if (e.residual) v = side(g.output, e.residual, row * g.n + col) + v;
  return {v, reach + (e.activation == Activation::none ? 0.0f : 0x1p-22f * fabsf(v))};
}
// Where an activation is least.
__device__ float lowest_at(Activation a) {
  return a == Activation::silu ? -1.2784645f : a == Activation::none ? 1e30f : -0.7517f;
}

// The value that y stores for v.
__device__ float rounded(const Gemm& g, float v) {
  if (g.output == Output::f32) return v;
  if (g.output == Output::bf16) return __bfloat162float(__float2bfloat16_rn(v));
  const float q = v / *g.epilogue.out_scale;
  if (g.element == Element::e4m3) return static_cast<float>(__nv_fp8_e4m3(q));
  return rintf(fminf(fmaxf(q, -128.0f), 127.0f));
}
__device__ float stored(const Gemm& g, int64_t i) {
  if (g.output == Output::codes) return load(g.element, g.y, i);
  return side(g.output, g.y, i);
}

// How far the tensor cores' sum may be off, with `magnitude` the sum of |x w|: each product of 32
// bytes of K aligns its terms and the sum so far to the largest and truncates, e4m3 below 2^-13 of
// it, bf16 below 2^-23; i8 is exact.
__device__ double sum_bound(const Gemm& g, bool accurate, double magnitude) {
  if (g.element == Element::i8) return 0;
  if (g.element == Element::bf16) return magnitude * 0x1p-22 * (g.k / 16 + 2);
  const double steps = accurate ? 5 : g.k / 32 + 2;
  return magnitude * (0x1p-13 * steps + (accurate ? 0x1p-23 * (g.k / 128 + 1) : 0));
}

__device__ void judge(const Gemm& g, bool accurate, int64_t row, int64_t col, double sum,
                      double magnitude, Counts* counts) {
  const double slack = sum_bound(g, accurate, magnitude);
  const float middle = finished(g, row, col, scaled(g, row, col, sum)).value;
  const float left = scaled(g, row, col, sum - slack), right = scaled(g, row, col, sum + slack);
  const float lowest = lowest_at(g.epilogue.activation);
  float low = middle, high = middle;
  for (const float v : {left, right, left < lowest && lowest < right ? lowest : left}) {
    const Finished f = finished(g, row, col, v);
    low = fminf(low, f.value - f.reach), high = fmaxf(high, f.value + f.reach);
  }
  low = rounded(g, low), high = rounded(g, high);
  const float y = stored(g, row * g.n + col);
  if (!(y >= low && y <= high)) atomicAdd(&counts->wrong, 1ull);
  if (g.output == Output::f32) {
    const double error = fabs(double{y} - middle);
    atomicAdd(&counts->errors, error * error);
    atomicAdd(&counts->values, double{middle} * middle);
  }
}

constexpr int kTile = 32;

__global__ void compare_kernel(Gemm g, bool accurate, Counts* counts) {
  __shared__ float xs[kTile][kTile + 1], ws[kTile][kTile + 1];
  const int64_t row = int64_t{blockIdx.y} * kTile + threadIdx.y;
  const int64_t col = int64_t{blockIdx.x} * kTile + threadIdx.x;
  double sum = 0;
  float magnitude = 0;
  for (int64_t k = 0; k < g.k; k += kTile) {
    const int64_t at = k + threadIdx.x, w_row = int64_t{blockIdx.x} * kTile + threadIdx.y;
    xs[threadIdx.y][threadIdx.x] = row < g.m && at < g.k ? load(g.element, g.x, row * g.k + at) : 0;
    ws[threadIdx.y][threadIdx.x] =
        w_row < g.n && at < g.k ? load(g.element, g.w, w_row * g.k + at) : 0;
    __syncthreads();
    float part = 0;  // exact for i8 and nearly so for the others
    for (int i = 0; i < kTile; ++i) {
      const float product = xs[threadIdx.y][i] * ws[threadIdx.x][i];
      part += product;
      magnitude += fabsf(product);
    }
    sum += part;
    __syncthreads();
  }
  if (row < g.m && col < g.n) judge(g, accurate, row, col, sum, magnitude, counts);
}

__global__ void differing_kernel(const uint8_t* y, const uint8_t* reference, int64_t rows,
                                 int64_t width, int64_t pitch, uint8_t gap, Counts* counts) {
  const int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x, row = i / pitch, at = i % pitch;
  if (row >= rows) return;
  const uint8_t expected = at < width ? reference[row * width + at] : gap;
  if (y[i] != expected) atomicAdd(&counts->wrong, 1ull);
}

unsigned blocks(int64_t count, int each) {
  return static_cast<unsigned>((count + each - 1) / each);
}

}  // namespace

void fill_random(Element element, void* data, int64_t count, uint32_t seed) {
  fill_kernel<<<blocks(count, kBlock), kBlock>>>(element, data, count, seed);
  must(cudaGetLastError(), "fill");
}
void fill_random_f32(float* data, int64_t count, uint32_t seed, float low, float high) {
  fill_f32_kernel<<<blocks(count, kBlock), kBlock>>>(data, count, seed, low, high);
  must(cudaGetLastError(), "fill");
}

Comparison compare(const Gemm& gemm, bool accurate) {
  static Counts* counts = static_cast<Counts*>(device_alloc(sizeof(Counts)));
  must(cudaMemset(counts, 0, sizeof(Counts)), "memset");
  const dim3 grid(blocks(gemm.n, kTile), blocks(gemm.m, kTile));
  compare_kernel<<<grid, dim3(kTile, kTile)>>>(gemm, accurate, counts);
  Counts host = {};
  must(cudaMemcpy(&host, counts, sizeof(host), cudaMemcpyDeviceToHost), "compare");
  return {static_cast<int64_t>(host.wrong),
          host.values > 0 ? std::sqrt(host.errors / host.values) : 0};
}

int64_t differing_bytes(const Gemm& g, const void* reference, uint8_t gap) {
  static Counts* counts = static_cast<Counts*>(device_alloc(sizeof(Counts)));
  must(cudaMemset(counts, 0, sizeof(Counts)), "memset");
  const int64_t bytes = g.output == Output::f32 ? 4 : g.output == Output::bf16 ? 2 : 1;
  const int64_t pitch = (g.y_pitch ? g.y_pitch : g.n) * bytes;
  differing_kernel<<<blocks(g.m * pitch, kBlock), kBlock>>>(static_cast<const uint8_t*>(g.y),
                                                            static_cast<const uint8_t*>(reference),
                                                            g.m, g.n * bytes, pitch, gap, counts);
  Counts host = {};
  must(cudaMemcpy(&host, counts, sizeof(host), cudaMemcpyDeviceToHost), "compare");
  return static_cast<int64_t>(host.wrong);
}

}  // namespace octavo::bench
