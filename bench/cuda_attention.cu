// Checks every CUDA kernel of attention against a plain one in f64, then times them. It links the
// attention kernels alone, on the first device, so that the program is small enough to carry.
//   bench_cuda_attention [check|time|quick]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <cuda_fp8.h>

#include "cuda_alone.cuh"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_e4m3.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {

namespace {

constexpr int kMostKeys = 5000;

struct Memory {
  explicit Memory(size_t bytes) : size(bytes) {
    check(cudaMalloc(&data, std::max<size_t>(bytes, 1)), "allocating");
  }
  ~Memory() { cudaFree(data); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data = nullptr;
  size_t size;
};

__device__ uint32_t mix(uint32_t x) {
  x = (x ^ x >> 16) * 0x7feb352du;
  x = (x ^ x >> 15) * 0x846ca68bu;
  return x ^ x >> 16;
}

// Sums of four uniform values: bell-shaped, deviation 1.
template <class T>
__global__ void fill_random(T* to, int64_t n, uint32_t seed, float outlier) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * blockDim.x) {
    float sum = 0;
    for (uint32_t j = 0; j < 4; ++j) {
      const uint32_t x = mix(static_cast<uint32_t>(i) * 4 + j + mix(seed + (i >> 30)));
      sum += static_cast<float>(x) * 0x1p-32f - 0.5f;
    }
    to[i] = from_float<T>(i % 1009 == 17 ? outlier : sum * 1.7320508f);
  }
}

// Masks whole rows (query % 5 == 3) and every third key elsewhere, adds a slope to the others.
__global__ void fill_bias(float* to, int64_t rows, int64_t keys, float masked) {
  const int64_t n = rows * keys;
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t row = i / keys, key = i % keys;
    const bool none = row % 5 == 3 || key % 3 == 1;
    to[i] = none ? masked : 0.01f * static_cast<float>(key - row % 97);
  }
}

struct Problem {
  const void *q, *k, *v, *out;
  AnyFloat bias;
  AttentionBiasStrides strides;
  AttentionExtents e;
  double scale, weight_unit, weight_least, reach_unit, out_unit;
  uint32_t* worst;  // f32 bits of the largest error over its bound; NaN is larger than any
  double* power;    // of the error, of the outputs
};

__device__ double block_sum(double x) {
  __shared__ double parts[4];
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  return parts[0] + parts[1] + parts[2] + parts[3];
}

// One query of one head a block of 128 threads. The error of an output is bounded by the weights'
// rounding (weight_unit, or weight_least of the largest weight), by f32 arithmetic on scores and
// sums (reach_unit of the scores' terms, 2^-23 for each of the depth + 4 roundings of a score's
// terms, and for each key), and by the output's own rounding.
template <class T>
__global__ void compare(const Problem p) {
  __shared__ double weights[kMostKeys];
  __shared__ double highest, reach;
  const int64_t row = blockIdx.x, h = row % p.e.heads, s = row / p.e.heads % p.e.queries;
  const int64_t b = row / p.e.heads / p.e.queries, hk = h / (p.e.heads / p.e.key_heads);
  const T* q = static_cast<const T*>(p.q) + row * p.e.depth;
  const int64_t step = p.e.key_heads * p.e.depth,
                at = (b * p.e.keys * p.e.key_heads + hk) * p.e.depth;
  const T *k = static_cast<const T*>(p.k) + at, *v = static_cast<const T*>(p.v) + at;
  const int64_t bias = b * p.strides.batch + h * p.strides.head + s * p.strides.query;
  if (threadIdx.x == 0) reach = 0;
  __syncthreads();
  double most = 0;
  for (int64_t t = threadIdx.x; t < p.e.keys; t += blockDim.x) {
    double sum = 0, size = 0;
    for (int64_t d = 0; d < p.e.depth; ++d) {
      const double term = double{to_float(q[d])} * to_float(k[t * step + d]);
      sum += term;
      size += fabs(term);
    }
    weights[t] = p.scale * sum + (p.bias.data ? p.bias[bias + t * p.strides.key] : 0.0);
    if (weights[t] > -1e30) most = max(most, p.scale * size + fabs(weights[t]));
  }
  for (int i = 16; i > 0; i /= 2) most = max(most, __shfl_xor_sync(~0u, most, i));
  if (threadIdx.x % 32 == 0) {
    atomicMax(reinterpret_cast<unsigned long long*>(&reach), __double_as_longlong(most));
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    highest = -INFINITY;
    for (int64_t t = 0; t < p.e.keys; ++t) highest = max(highest, weights[t]);
  }
  __syncthreads();
  double part = 0;
  for (int64_t t = threadIdx.x; t < p.e.keys; t += blockDim.x) {
    weights[t] = highest == -INFINITY ? 1.0 : exp(weights[t] - highest);
    part += weights[t];
  }
  const double total = block_sum(part);
  const double unit =
      p.weight_unit + p.reach_unit * reach + 0x1p-23 * ((p.e.depth + 4.0) * reach + p.e.keys + 8.0);
  for (int64_t d = threadIdx.x; d < p.e.depth; d += blockDim.x) {
    double sum = 0, size = 0, sizes = 0;
    for (int64_t t = 0; t < p.e.keys; ++t) {
      const double value = to_float(v[t * step + d]);
      sum += weights[t] * value;
      size += weights[t] * fabs(value);
      sizes += fabs(value);
    }
    const double want = p.e.keys == 0 ? 0.0 : sum / total;
    const double bound = p.e.keys == 0 ? 0x1p-100
                                       : (unit * size + p.weight_least * sizes) / total +
                                             p.out_unit * fabs(want) + 0x1p-100;
    const double found = to_float(static_cast<const T*>(p.out)[row * p.e.depth + d]);
    const auto ratio = static_cast<float>(fabs(found - want) / bound);
    atomicAdd(&p.power[0], (found - want) * (found - want));
    atomicAdd(&p.power[1], want * want);
    atomicMax(p.worst, isnan(ratio) ? 0x7fffffffu : __float_as_uint(ratio));
  }
}

struct Case {
  int64_t batch, queries, heads, keys, key_heads, depth;
  enum Bias { none, t5, mask_lowest, mask_infinite } bias = none;
  float outlier = 3;
};

// One call with its memory.
struct Work {
  Call call;
  std::unique_ptr<Memory> buffers[4], out, workspace;
  Shape bias_shape;
};

size_t bytes_of(DType type, const Shape& shape) {
  return static_cast<size_t>(element_count(shape)) * (type == DType::f32 ? 4 : 2);
}

Work make_work(const Case& c, DType type) {
  Work w;
  const Shape q{c.batch, c.queries, c.heads, c.depth}, k{c.batch, c.keys, c.key_heads, c.depth};
  w.call = {.op = Op::attention,
            .attrs = {{"scale", 1.0 / std::sqrt(static_cast<double>(c.depth))}},
            .inputs = {Operand{type, q}, Operand{type, k}, Operand{type, k}, std::nullopt},
            .outputs = {Operand{type, q}},
            .name = "attention"};
  for (uint32_t i = 0; i < 3; ++i) {
    const Shape& shape = w.call.inputs[i]->shape;
    w.buffers[i] = std::make_unique<Memory>(bytes_of(type, shape));
    with_compute_type(type, [&](auto t) {
      using T = typename decltype(t)::type;
      fill_random<<<1024, 256, 0, the_stream>>>(static_cast<T*>(w.buffers[i]->data),
                                                element_count(shape), i + 1,
                                                i == 2 ? c.outlier : 2.0f);
    });
  }
  if (c.bias != Case::none) {
    const Shape shape = c.bias == Case::t5 ? Shape{1, c.heads, c.queries, c.keys}
                                           : Shape{c.batch, 1, c.queries, c.keys};
    w.buffers[3] = std::make_unique<Memory>(bytes_of(DType::f32, shape));
    const float masked = c.bias == Case::mask_infinite ? -INFINITY
                         : c.bias == Case::mask_lowest ? -3.4028234e38f
                                                       : 0.5f;
    fill_bias<<<1024, 256, 0, the_stream>>>(static_cast<float*>(w.buffers[3]->data),
                                            shape[0] * shape[1] * shape[2], shape[3], masked);
    w.call.inputs[3] = Operand{DType::f32, shape};
  }
  w.out = std::make_unique<Memory>(bytes_of(type, q));
  return w;
}

void run(const Kernel& kernel, Work& w) {
  if (!w.workspace) {
    w.workspace =
        std::make_unique<Memory>(kernel.workspace ? kernel.workspace(w.call, nullptr) : 0);
  }
  const void* inputs[4] = {};
  for (int i = 0; i < 4; ++i) inputs[i] = w.buffers[i] ? w.buffers[i]->data : nullptr;
  void* outputs[1] = {w.out->data};
  kernel.launch(w.call, nullptr,
                {.inputs = inputs, .outputs = outputs, .workspace = w.workspace->data});
}

std::vector<unsigned char> download(const Memory& from) {
  std::vector<unsigned char> bytes(from.size);
  check(cudaMemcpyAsync(bytes.data(), from.data, from.size, cudaMemcpyDeviceToHost, the_stream),
        "downloading");
  check(cudaStreamSynchronize(the_stream), "running");
  return bytes;
}

struct Error64 {
  float ratio;      // the largest error in units of its bound
  double decibels;  // the outputs' power over the errors'
};

struct Units {
  double weight, weight_least, reach, out;
};
Units units_of(DType type) {
  if (type == DType::f32) return {0, 0, 0, 0x1p-23};
  if (type == DType::f16) return {0x1p-10, 0x1p-24, 0, 0x1p-10};
  return {0x1p-8, 0, 0, 0x1p-8};
}

Error64 error_of(const Work& w, DType type, const Units& units) {
  Memory sums(3 * sizeof(double));
  check(cudaMemsetAsync(sums.data, 0, sums.size, the_stream), "clearing");
  const AttentionExtents e = attention_extents(w.call);
  auto* power = static_cast<double*>(sums.data);
  Problem p = {.q = w.buffers[0]->data,
               .k = w.buffers[1]->data,
               .v = w.buffers[2]->data,
               .out = w.out->data,
               .bias = {w.buffers[3] ? w.buffers[3]->data : nullptr, DType::f32},
               .strides = attention_bias_strides(w.call),
               .e = e,
               .scale = w.call.attrs.get_double("scale"),
               .weight_unit = units.weight,
               .weight_least = units.weight_least,
               .reach_unit = units.reach,
               .out_unit = units.out,
               .worst = reinterpret_cast<uint32_t*>(power + 2),
               .power = power};
  const auto blocks = static_cast<unsigned>(e.batch * e.queries * e.heads);
  with_compute_type(type, [&](auto t) {
    compare<typename decltype(t)::type><<<blocks, 128, 0, the_stream>>>(p);
  });
  const auto bytes = download(sums);
  double powers[2];
  float ratio;
  std::memcpy(powers, bytes.data(), sizeof(powers));
  std::memcpy(&ratio, bytes.data() + sizeof(powers), sizeof(ratio));
  return {ratio, 10 * std::log10(powers[1] / powers[0])};
}

// The bits of sample `b` when it is a batch of its own.
bool same_alone(const Kernel& kernel, const Work& w, DType type, int64_t b,
                const std::vector<unsigned char>& whole) {
  Work alone;
  alone.call = w.call;
  for (int i = 0; i < 4; ++i) {
    if (!w.buffers[i]) continue;
    Shape& shape = alone.call.inputs[i]->shape;
    const bool shared = shape[0] == 1;
    shape[0] = 1;
    const size_t bytes = bytes_of(i == 3 ? DType::f32 : type, shape);
    alone.buffers[i] = std::make_unique<Memory>(bytes);
    check(cudaMemcpyAsync(alone.buffers[i]->data,
                          static_cast<char*>(w.buffers[i]->data) + (shared ? 0 : b * bytes), bytes,
                          cudaMemcpyDeviceToDevice, the_stream),
          "copying");
  }
  alone.call.outputs[0].shape[0] = 1;
  alone.out = std::make_unique<Memory>(bytes_of(type, alone.call.outputs[0].shape));
  run(kernel, alone);
  const auto bits = download(*alone.out);
  return std::memcmp(bits.data(), whole.data() + b * bits.size(), bits.size()) == 0;
}

const char* text(DType t) { return t == DType::f32 ? "f32" : t == DType::f16 ? "f16" : "bf16"; }

const Kernel* const kKernels[] = {&kAttentionSm90, &kAttentionMma, &kAttentionSimt};

void print_check(bool good, const char* kernel, const Case& c, DType type, const Error64& error,
                 bool same, bool alone) {
  std::printf(
      "%-5s %-15s %-4s b%ld s%ld h%ld t%ld hk%ld d%ld bias %d: %.3f of the bound, %.1f dB%s%s\n",
      good ? "ok" : "WRONG", kernel, text(type), long(c.batch), long(c.queries), long(c.heads),
      long(c.keys), long(c.key_heads), long(c.depth), int(c.bias), error.ratio, error.decibels,
      same ? "" : ", other bits in other runs", alone ? "" : ", other bits in a batch");
  std::fflush(stdout);
}

bool check_case(const Kernel& kernel, const Case& c, DType type) {
  Work w = make_work(c, type);
  const Verdict verdict = kernel.supports(w.call);
  if (!verdict.supported) return true;
  check(cudaMemsetAsync(w.out->data, 0xff, w.out->size, the_stream), "poisoning");
  run(kernel, w);
  const Error64 error = error_of(w, type, units_of(type));
  const auto first = download(*w.out);
  bool same = true, alone = true;
  for (int i = 0; i < 3; ++i) {
    check(cudaMemsetAsync(w.out->data, 0xff, w.out->size, the_stream), "poisoning");
    run(kernel, w);
    same = same && download(*w.out) == first;
  }
  if (c.batch > 1) alone = same_alone(kernel, w, type, c.batch - 1, first);
  const bool good = error.ratio <= 1 && same && alone;
  print_check(good, kernel.name, c, type, error, same, alone);
  return good;
}

// x becomes what its codes mean.
__global__ void to_codes(__nv_bfloat16* x, uint8_t* codes, int64_t n, const float* scale,
                         int by_head, int64_t heads, int64_t depth) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * blockDim.x) {
    const float s = scale[by_head * (i / depth % heads)];
    const auto code = __nv_cvt_float_to_fp8(to_float(x[i]) / s, __NV_SATFINITE, __NV_E4M3);
    const float value = __half2float(__half(__nv_cvt_fp8_to_halfraw(code, __NV_E4M3)));
    codes[i] = code;
    x[i] = from_float<__nv_bfloat16>(value * s);
  }
}

// The operands of a call in e4m3; those of `w` become what the codes mean.
struct E4m3Work {
  E4m3Work(Work& w, bool by_head) {
    const AttentionExtents e = attention_extents(w.call);
    std::vector<float> values;
    for (int64_t h = 0; h < e.heads; ++h) values.push_back(by_head && h % 2 ? 0x1p-5f : 0x1p-6f);
    scale = std::make_unique<Memory>(values.size() * sizeof(float));
    check(cudaMemcpy(scale->data, values.data(), scale->size, cudaMemcpyHostToDevice), "copying");
    const auto* s = static_cast<const float*>(scale->data);
    for (int i = 0; i < 3; ++i) {
      const int64_t n = element_count(w.call.inputs[i]->shape);
      const int64_t heads = w.call.inputs[i]->shape[2];
      codes[i] =
          std::make_unique<Memory>(i < 2 ? n : n / e.keys * attention_e4m3_padded_keys(e.keys));
      Memory unused(n);
      to_codes<<<1024, 256, 0, the_stream>>>(
          static_cast<__nv_bfloat16*>(w.buffers[i]->data),
          static_cast<uint8_t*>(i < 2 ? codes[i]->data : unused.data), n, s, by_head, heads,
          e.depth);
      check(cudaStreamSynchronize(the_stream), "quantizing");
    }
    workspace = std::make_unique<Memory>(attention_e4m3_workspace(w.call, e));
    attention = {.extents = e,
                 .q = codes[0]->data,
                 .k = codes[1]->data,
                 .v = codes[2]->data,
                 .q_scale = s,
                 .k_scale = s,
                 .v_scale = s,
                 .by_head = by_head,
                 .scale = w.call.attrs.get_double("scale"),
                 .out = w.out->data,
                 .workspace = workspace->data};
    quantize_values(w);
  }
  void quantize_values(const Work& w) {
    quantize_attention_values(w.call, attention.extents, w.buffers[2]->data, attention.v_scale,
                              attention.by_head, codes[2]->data);
  }
  std::unique_ptr<Memory> scale, codes[3], workspace;
  AttentionE4m3 attention;
};

// Weights have 4 significant bits, and below 2^-10 of the largest fewer; the tensor cores keep 13
// bits of a sum, of which there is one for every 32 terms.
bool check_e4m3(const Case& c, bool by_head) {
  Work w = make_work(c, DType::bf16);
  if (!attention_e4m3_refusal(w.call, attention_extents(w.call)).empty()) return true;
  const E4m3Work e(w, by_head);
  check(cudaMemsetAsync(w.out->data, 0xff, w.out->size, the_stream), "poisoning");
  attention_e4m3(w.call, e.attention);
  const Units units = {0x1p-4 + 0x1p-13 * (static_cast<double>(c.keys) / 32 + 2), 0x1p-14,
                       5 * 0x1p-13, 0x1p-8};
  const Error64 error = error_of(w, DType::bf16, units);
  const auto first = download(*w.out);
  attention_e4m3(w.call, e.attention);
  const bool same = download(*w.out) == first, good = error.ratio <= 1 && same;
  print_check(good, by_head ? "e4m3 by head" : "e4m3", c, DType::bf16, error, same, true);
  return good;
}

bool check_all() {
  const Case cases[] = {{1, 1, 1, 1, 1, 128},
                        {1, 7, 2, 7, 1, 64},
                        {2, 63, 2, 65, 2, 128},
                        {1, 65, 4, 129, 2, 64},
                        {1, 129, 2, 63, 2, 32},
                        {1, 65, 2, 1, 2, 128},
                        {3, 129, 3, 129, 1, 128},
                        {2, 200, 3, 711, 3, 64},
                        {3, 711, 24, 711, 8, 64},
                        {1, 100, 2, 320, 2, 128},
                        {1, 100, 2, 352, 2, 128},
                        {5, 577, 4, 577, 4, 72},
                        {1, 130, 2, 190, 2, 96},
                        {1, 130, 2, 190, 2, 40},
                        {1, 130, 2, 190, 2, 33},
                        {1, 66, 2, 100, 1, 512},
                        {1, 4608, 5, 4608, 5, 128},
                        {2, 4096, 4, 4096, 4, 64},
                        {1, 300, 2, 700, 2, 128, Case::none, 6e4f},
                        {2, 77, 12, 77, 12, 64, Case::t5},
                        {1, 512, 4, 512, 4, 64, Case::t5},
                        {2, 129, 2, 129, 2, 128, Case::mask_lowest},
                        {2, 129, 2, 129, 2, 32, Case::mask_infinite},
                        {2, 65, 2, 200, 2, 128, Case::mask_infinite},
                        {1, 5, 2, 0, 2, 64}};
  int wrong = 0;
  for (const Case& c : cases) {
    for (DType type : {DType::bf16, DType::f16, DType::f32}) {
      if (c.outlier > 5e4f && type == DType::f16) continue;
      for (const Kernel* kernel : kKernels) wrong += check_case(*kernel, c, type) ? 0 : 1;
    }
    if (c.bias != Case::none || c.depth != 128 || c.keys == 0 || c.outlier > 5e4f) continue;
    for (bool by_head : {false, true}) wrong += check_e4m3(c, by_head) ? 0 : 1;
  }
  std::printf("checks: %d wrong\n", wrong);
  return wrong == 0;
}

template <class Launch>
void time_launches(const char* kernel, const Case& c, DType type, int runs,
                   const Launch& launches) {
  for (int i = 0; i < 3; ++i) launches();
  std::vector<float> times;
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "creating an event");
  check(cudaEventCreate(&end), "creating an event");
  for (int i = 0; i < runs; ++i) {
    check(cudaEventRecord(begin, the_stream), "recording");
    launches();
    check(cudaEventRecord(end, the_stream), "recording");
    check(cudaEventSynchronize(end), "running");
    float ms;
    check(cudaEventElapsedTime(&ms, begin, end), "timing");
    times.push_back(ms);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(times.begin(), times.end());
  const double ms = times[times.size() / 2];
  const double flops = 4.0 * c.batch * c.heads * c.queries * c.keys * c.depth;
  std::printf("%-15s %-4s b%ld s%ld h%ld t%ld d%ld bias %d: %9.1f us (least %.1f) %6.1f TFLOP/s\n",
              kernel, text(type), long(c.batch), long(c.queries), long(c.heads), long(c.keys),
              long(c.depth), int(c.bias), ms * 1e3, times[0] * 1e3, flops / ms / 1e9);
  std::fflush(stdout);
}

void time_case(const Kernel& kernel, const Case& c, DType type, int runs) {
  Work w = make_work(c, type);
  if (!kernel.supports(w.call).supported) return;
  time_launches(kernel.name, c, type, runs, [&] { run(kernel, w); });
}

void time_e4m3(const Case& c) {
  Work w = make_work(c, DType::bf16);
  if (!attention_e4m3_refusal(w.call, attention_extents(w.call)).empty()) return;
  E4m3Work e(w, false);
  time_launches("e4m3", c, DType::bf16, 30, [&] { attention_e4m3(w.call, e.attention); });
  time_launches("e4m3 values", c, DType::bf16, 30, [&] { e.quantize_values(w); });
}

void time_quick() {
  time_case(kAttentionSm90, {1, 4608, 24, 4608, 24, 128}, DType::bf16, 30);
  time_e4m3({1, 4608, 24, 4608, 24, 128});
  time_case(kAttentionSm90, {1, 4608, 24, 4608, 24, 64}, DType::bf16, 30);
  time_case(kAttentionSm90, {1, 32760, 12, 32760, 12, 128}, DType::bf16, 10);
}

void time_all() {
  const Case cases[] = {
      {1, 4608, 24, 4608, 24, 128},  {1, 4608, 24, 4608, 24, 64}, {1, 32760, 12, 32760, 12, 128},
      {1, 17776, 48, 17776, 48, 64}, {2, 4096, 10, 4096, 10, 64}, {1, 711, 24, 711, 24, 64},
      {1, 4608, 24, 512, 24, 128},   {8, 711, 24, 711, 24, 64},   {4, 4608, 24, 4608, 24, 128}};
  for (const Case& c : cases) time_case(kAttentionSm90, c, DType::bf16, 30);
  time_case(kAttentionSm90, cases[0], DType::f16, 30);
  for (int i : {0, 2, 8}) time_e4m3(cases[i]);
  for (const Case& c : {cases[0], cases[1], cases[5], Case{1, 512, 64, 512, 64, 64, Case::t5}}) {
    time_case(kAttentionMma, c, DType::bf16, 10);
  }
  time_case(kAttentionSimt, {1, 1024, 24, 1024, 24, 128}, DType::f32, 10);
  time_case(kAttentionSimt, {1, 1024, 24, 1024, 24, 64}, DType::f32, 10);
}

int run_all(const std::string& what) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "reading the device");
  the_device.name = properties.name;
  the_device.arch = properties.major * 10 + properties.minor;
  the_device.processors = properties.multiProcessorCount;
  check(cudaStreamCreateWithFlags(&the_stream, cudaStreamNonBlocking), "creating a stream");
  std::printf("%s, %d multiprocessors\n", properties.name, the_device.processors);
  if (what == "quick") return time_quick(), 0;
  if (what != "check") time_all();
  return what != "time" && !check_all() ? 1 : 0;
}

}  // namespace
}  // namespace octavo::cuda

int main(int argc, char** argv) {
  try {
    return octavo::cuda::run_all(argc > 1 ? argv[1] : "");
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
}
