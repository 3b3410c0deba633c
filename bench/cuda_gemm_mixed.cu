// The sm90 product of bf16 by codes (kernels/cuda/sm90/gemm_mixed.h): `bench_cuda_gemm_mixed check`
// compares every variant with sums in double over dequantized operands, `... time` measures them
// beside the bf16 product (`time i8 up`: of that code, layers of such names). Without an argument:
// both.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cuda_gemm_check.h"
#include "cuda_gemm_cublaslt.h"
#include "kernels/cuda/sm90/mixed_instance.h"

namespace octavo::bench {
namespace {

using namespace cuda::sm90;

constexpr const char* kCodeNames[] = {"i8", "e4m3", "i4"};
constexpr int kTile = 32;

// Reference
// ---------------------------------------------------------------------------------------

__device__ double weight(const MixedGemm& g, int64_t row, int64_t k) {
  const auto* codes = static_cast<const uint8_t*>(g.w);
  if (g.code == MixedCode::i8) return static_cast<int8_t>(codes[row * g.k + k]);
  if (g.code == MixedCode::e4m3) {
    return static_cast<float>(reinterpret_cast<const __nv_fp8_e4m3*>(codes)[row * g.k + k]);
  }
  const int byte = codes[row * (g.k / 2) + k / 2], nibble = k % 2 ? byte >> 4 : byte & 15;
  const int64_t group = row * (g.k / g.groups.size) + k / g.groups.size;
  const float zero = g.groups.zero_point ? g.groups.zero_point[group] : 0.0f;
  const float scale =
      g.groups.type == GroupScale::f32 ? static_cast<const float*>(g.groups.scale)[group]
      : g.groups.type == GroupScale::f16
          ? __half2float(static_cast<const __half*>(g.groups.scale)[group])
          : __bfloat162float(static_cast<const __nv_bfloat16*>(g.groups.scale)[group]);
  // Rounded as the product does it.
  return __bfloat162float(
      __float2bfloat16(fmaf(128.0f + (nibble ^ 8), scale, -(136.0f + zero) * scale)));
}
__device__ double value(const void* bf16, int64_t i) {
  return __bfloat162float(static_cast<const __nv_bfloat16*>(bf16)[i]);
}
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

struct Counts {
  unsigned long long wrong;
  float worst;  // |error| / bound
};

// y may be off by half a unit in its last place, and by what f32 sums and steps may lose of the
// magnitudes that go into them (the tensor cores truncate below 2^-23 of the largest term).
__device__ void judge(const MixedGemm& g, int64_t row, int64_t col, double sum, double magnitude,
                      Counts* counts) {
  const Epilogue& e = g.epilogue;
  const double scale = e.w_scale ? e.w_scale[e.w_by_row ? col : 0] : 1.0;
  double v = sum * scale, slack = magnitude * scale * 0x1p-22 * (g.k / 16 + 2);
  if (e.bias) v += static_cast<const float*>(e.bias)[col];
  slack += fabs(v) * 0x1p-21;
  v = activated(e.activation, v), slack *= 1.2;
  if (e.gate) {
    const double gate = value(e.gate, row / e.rows_per_sample * g.n + col);
    v *= gate, slack *= fabs(gate);
  }
  if (e.residual) v += value(e.residual, row * g.n + col);
  const double error = fabs(value(g.y, row * g.n + col) - v);
  const double bound = slack + fabs(v) * (0x1p-8 + 0x1p-20) + 1e-30;
  if (!(error <= bound)) atomicAdd(&counts->wrong, 1ull);
  atomicMax(reinterpret_cast<int*>(&counts->worst),
            __float_as_int(static_cast<float>(error / bound)));
}

__global__ void compare_kernel(MixedGemm g, Counts* counts) {
  __shared__ double xs[kTile][kTile + 1], ws[kTile][kTile + 1];
  const int64_t row = int64_t{blockIdx.y} * kTile + threadIdx.y;
  const int64_t col = int64_t{blockIdx.x} * kTile + threadIdx.x;
  const int64_t w_row = int64_t{blockIdx.x} * kTile + threadIdx.y;
  double sum = 0, magnitude = 0;
  for (int64_t k = 0; k < g.k; k += kTile) {
    const int64_t at = k + threadIdx.x;
    xs[threadIdx.y][threadIdx.x] = row < g.m && at < g.k ? value(g.x, row * g.k + at) : 0;
    ws[threadIdx.y][threadIdx.x] = w_row < g.n && at < g.k ? weight(g, w_row, at) : 0;
    __syncthreads();
    for (int i = 0; i < kTile; ++i) {
      const double product = xs[threadIdx.y][i] * ws[threadIdx.x][i];
      sum += product, magnitude += fabs(product);
    }
    __syncthreads();
  }
  if (row < g.m && col < g.n) judge(g, row, col, sum, magnitude, counts);
}

__global__ void fill_scales(GroupScale type, void* scale, float* zero, int64_t count) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const uint32_t h = static_cast<uint32_t>(i) * 2654435761u;
  const float v = 0.01f + 0.02f * (h >> 16) / 65536.0f;
  if (type == GroupScale::f32) static_cast<float*>(scale)[i] = v;
  if (type == GroupScale::f16) static_cast<__half*>(scale)[i] = __float2half(v);
  if (type == GroupScale::bf16) static_cast<__nv_bfloat16*>(scale)[i] = __float2bfloat16(v);
  zero[i] = static_cast<float>(static_cast<int>(h >> 8 & 15) - 8);
}

// Problems
// ----------------------------------------------------------------------------------------

std::vector<MixedInstance> all_instances() {
  std::vector<MixedInstance> list;
  for (const auto part :
       {gemm_mixed_i8_instances(), gemm_mixed_e4m3_instances(), gemm_mixed_i4_instances()}) {
    list.insert(list.end(), part.begin(), part.end());
  }
  return list;
}

int processors() {
  static const int count = [] {
    int n = 0;
    must(cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, 0), "attribute");
    return n;
  }();
  return count;
}

struct Arena {
  static constexpr int64_t kElements = int64_t{8192} * 15360, kRows = 1 << 16;
  void *x, *w, *w_bf16, *y, *residual, *gate, *group_scale;
  float *w_scale, *bias, *zero_point;
  Arena() {
    for (void** p : {&x, &w_bf16, &y, &residual}) *p = device_alloc(kElements * 2);
    w = device_alloc(kElements), gate = device_alloc(kRows * 64);
    group_scale = device_alloc(kElements / 16);
    for (float** p : {&w_scale, &bias}) *p = static_cast<float*>(device_alloc(kRows * 4));
    zero_point = static_cast<float*>(device_alloc(kElements / 16));
    fill_random_f32(w_scale, kRows, 2, 0.5e-3f, 1e-3f);
    fill_random_f32(bias, kRows, 3, -2, 2);
    fill_random(Element::bf16, x, kElements, 5);
    fill_random(Element::bf16, w_bf16, kElements, 6);
    fill_random(Element::bf16, residual, kElements, 7);
    fill_random(Element::bf16, gate, kRows * 32, 8);
  }
  // i4: any byte is two codes.
  void fill(MixedCode code, GroupScale type) const {
    fill_random(code == MixedCode::e4m3 ? Element::e4m3 : Element::i8, w, kElements, 9);
    constexpr int64_t kGroups = kElements / 64;
    fill_scales<<<kGroups / 256, 256>>>(type, group_scale, zero_point, kGroups);
    must(cudaGetLastError(), "fill");
  }
};

struct Options {
  Activation activation = Activation::none;
  bool bias = false, w_by_row = true, gate = false, residual = false, zero_point = false;
  int64_t group = 64;  // 0: K
  GroupScale type = GroupScale::f16;
};

struct Shape {
  int64_t m, n, k;
};

MixedGemm make_gemm(const Arena& a, MixedCode code, Shape s, Options o) {
  MixedGemm g = {code, s.m, s.n, s.k, a.x, a.w, a.y, 0, {}, {}};
  Epilogue& e = g.epilogue;
  if (code == MixedCode::i4) {
    g.groups = {o.group && s.k % o.group == 0 ? o.group : s.k, o.type, a.group_scale,
                o.zero_point ? a.zero_point : nullptr};
  } else {
    e.w_scale = a.w_scale, e.w_by_row = o.w_by_row;
  }
  e.activation = o.activation;
  if (o.bias) e.bias = a.bias;
  if (o.gate) e.gate = a.gate, e.rows_per_sample = static_cast<int>(s.m % 2 == 0 ? s.m / 2 : s.m);
  if (o.residual) e.residual = a.residual;
  return g;
}

// Check
// --------------------------------------------------------------------------------------------

int failures = 0, checks = 0;

void check(const Arena& arena, const MixedInstance& i, Shape s, Options o) {
  const MixedVariant& v = i.variant;
  if (!mixed_has_all_activations(v.tile_m) && o.activation != Activation::none) {
    o.activation = Activation::gelu_tanh;
  }
  const MixedGemm g = make_gemm(arena, i.code, s, o);
  if (!gemm_mixed_refusal(g).empty()) return;
  static Counts* counts = static_cast<Counts*>(device_alloc(sizeof(Counts)));
  must(cudaMemset(counts, 0, sizeof(Counts)), "memset");
  must(cudaMemset(arena.y, 0xff, static_cast<size_t>(s.m * s.n) * 2), "memset");
  must(run_gemms({&g, 1}, v, processors(), nullptr), "launch");
  const dim3 grid(static_cast<unsigned>((s.n + kTile - 1) / kTile),
                  static_cast<unsigned>((s.m + kTile - 1) / kTile));
  compare_kernel<<<grid, dim3(kTile, kTile)>>>(g, counts);
  Counts host = {};
  must(cudaMemcpy(&host, counts, sizeof(host), cudaMemcpyDeviceToHost), "compare");
  ++checks, failures += host.wrong > 0;
  if (host.wrong > 0 || s.m == 4608) {
    std::printf("%s %-4s %d c%d %ldx%ldx%ld act %d%s%s%s%s group %ld: %llu wrong, worst %.3f\n",
                host.wrong ? "FAIL" : "ok  ", kCodeNames[int(i.code)], v.tile_m, v.cluster, s.m,
                s.n, s.k, int(o.activation), o.bias ? " bias" : "", o.gate ? " gate" : "",
                o.residual ? " residual" : "", o.zero_point ? " zp" : "", g.groups.size, host.wrong,
                host.worst);
    std::fflush(stdout);
  }
}

void check_all(const Arena& arena) {
  const Shape shapes[] = {{1, 64, 64},      {28, 16, 32},     {64, 3072, 288},   {130, 1000, 160},
                          {129, 208, 3072}, {512, 4104, 512}, {1024, 640, 1536}, {300, 272, 4096}};
  for (const MixedCode code : {MixedCode::i8, MixedCode::e4m3, MixedCode::i4}) {
    int turn = 0;
    for (const GroupScale type : {GroupScale::f16, GroupScale::f32, GroupScale::bf16}) {
      if (code != MixedCode::i4 && type != GroupScale::f32) continue;
      arena.fill(code, type);
      for (const MixedInstance& i : all_instances()) {
        if (i.code != code) continue;
        for (const Shape& s : shapes) {
          for (int twice = 0; twice < 2; ++twice, ++turn) {
            check(arena, i, s,
                  {Activation(turn % 4), turn % 3 > 0, turn % 5 > 0, turn % 3 == 1, turn % 4 > 1,
                   turn % 2 > 0,
                   turn % 3 == 0 ? 128
                   : turn % 7    ? 64
                                 : 0,
                   type});
          }
        }
        if (code == MixedCode::i4 && type != GroupScale::f16) continue;
        check(arena, i, {4608, 3072, 3072},
              {Activation::none, true, true, true, true, true, 64, type});
      }
    }
  }
  std::printf("%d checks, %d failed\n", checks, failures);
  std::fflush(stdout);
}

// Time
// ---------------------------------------------------------------------------------------------

// Of one launch, in a row of them that runs for about `budget` seconds, the latter half of it: at
// the clocks that continuous load leaves.
double sustained_seconds(const std::function<void(int)>& launch, double budget = 0.05) {
  static cudaEvent_t begin = nullptr, end = nullptr;
  if (!begin) {
    must(cudaEventCreate(&begin), "event");
    must(cudaEventCreate(&end), "event");
  }
  const auto run = [&](int count) {
    must(cudaEventRecord(begin), "event");
    for (int i = 0; i < count; ++i) launch(i);
    must(cudaEventRecord(end), "event");
    must(cudaEventSynchronize(end), "launch");
    float ms = 0;
    must(cudaEventElapsedTime(&ms, begin, end), "event");
    return ms * 1e-3 / count;
  };
  run(2);
  const double first = run(3);
  const int count = std::max(3, static_cast<int>(budget / 2 / first));
  run(count);
  return run(count);
}

// Weights come from memory, as in a net: places for w rotate.
const void* rotated(const void* w, int64_t bytes, int64_t most, int turn) {
  const int64_t step = (bytes + 255) / 256 * 256, places = std::max<int64_t>(1, most / step);
  return static_cast<const std::byte*>(w) + turn % places * step;
}

struct Row {
  const char* name;
  Shape shape;
  Options options;
  int times;  // in a step of FLUX.1-dev
};

// One layer's launches.
struct Layer {
  std::function<void(int)> codes, bf16;
  int times;
};

Layer make_layer(const Arena& arena, MixedCode code, const Row& r, CublasLt* library) {
  static std::map<std::string, CublasLt::Launch> plans;
  const Shape& s = r.shape;
  Layer layer;
  layer.times = r.times;
  const MixedGemm g = make_gemm(arena, code, s, r.options);
  const MixedVariant v = choose_variant({&g, 1}, processors());
  const int64_t bytes = g.code == MixedCode::i4 ? g.n * g.k / 2 : g.n * g.k;
  layer.codes = [=](int turn) {
    MixedGemm gemm = g;
    gemm.w = rotated(g.w, bytes, Arena::kElements, turn);
    must(run_gemms({&gemm, 1}, v, processors(), nullptr), "launch");
  };
  const std::string key =
      std::to_string(s.m) + "." + std::to_string(s.n) + "." + std::to_string(s.k);
  const void* w = arena.w_bf16;
  if (library && !plans.count(key)) {
    const Gemm bf16 = {Element::bf16, Output::bf16, s.m, s.n, s.k, arena.x, w, arena.y, {}};
    plans[key] = library->plan(bf16, [&](const CublasLt::Launch& launch) {
      return sustained_seconds([&](int) { launch(bf16); }, 0.02);
    });
  }
  const CublasLt::Launch plan = plans[key];
  layer.bf16 = [=, x = arena.x, y = arena.y](int turn) {
    const void* turned = rotated(w, s.n * s.k * 2, Arena::kElements * 2, turn);
    if (plan) plan({Element::bf16, Output::bf16, s.m, s.n, s.k, x, turned, y, {}});
  };
  return layer;
}

void time_row(const Arena& arena, MixedCode code, const Row& r, CublasLt* library) {
  const Shape& s = r.shape;
  const double flop = 2e-12 * s.m * s.n * s.k;
  const MixedGemm g = make_gemm(arena, code, s, r.options);
  const Layer layer = make_layer(arena, code, r, library);
  const double bf16 = sustained_seconds(layer.bf16);
  const MixedVariant chosen = choose_variant({&g, 1}, processors());
  std::printf("%-4s %-14s %5ld %5ld %5ld | cublasLt bf16 %.1f us %.0f |", kCodeNames[int(code)],
              r.name, s.m, s.n, s.k, bf16 * 1e6, flop / bf16);
  for (const MixedInstance& i : all_instances()) {
    const MixedVariant& v = i.variant;
    if (i.code != code || (s.m > 1000 && v.tile_m < 128)) continue;
    const int64_t bytes = g.code == MixedCode::i4 ? g.n * g.k / 2 : g.n * g.k;
    const double seconds = sustained_seconds([&](int turn) {
      MixedGemm gemm = g;
      gemm.w = rotated(g.w, bytes, Arena::kElements, turn);
      must(run_gemms({&gemm, 1}, v, processors(), nullptr), "launch");
    });
    std::printf(" %d.%d%s %.0f", v.tile_m, v.cluster, v == chosen ? "*" : "", flop / seconds);
  }
  std::printf("\n");
  std::fflush(stdout);
}

void time_all(const Arena& arena, const std::string& only, const std::string& row) {
  const Options plain = {Activation::none, true}, gelu = {Activation::gelu_tanh, true};
  const Options out = {Activation::none, true, true, true, true};
  // 19 double blocks of 4096 + 512 tokens, 38 single blocks.
  const Row rows[] = {{"q, k, v", {4096, 3072, 3072}, plain, 57},
                      {"up gelu", {4096, 12288, 3072}, gelu, 19},
                      {"down gate res", {4096, 3072, 12288}, out, 19},
                      {"out gate res", {4096, 3072, 3072}, out, 19},
                      {"text q, k, v", {512, 3072, 3072}, plain, 57},
                      {"text up gelu", {512, 12288, 3072}, gelu, 19},
                      {"text down", {512, 3072, 12288}, out, 19},
                      {"text out", {512, 3072, 3072}, out, 19},
                      {"single q, k, v", {4608, 3072, 3072}, plain, 114},
                      {"single up gelu", {4608, 12288, 3072}, gelu, 38},
                      {"single out", {4608, 3072, 15360}, out, 38}};
  std::unique_ptr<CublasLt> library = CublasLt::open();
  std::printf("TFLOP/s; a variant is tile_m . cluster, *: chosen\n");
  for (const MixedCode code : {MixedCode::i8, MixedCode::e4m3, MixedCode::i4}) {
    if (!only.empty() && only != kCodeNames[int(code)]) continue;
    arena.fill(code, GroupScale::f16);
    for (const Row& r : rows) {
      if (std::string(r.name).find(row) != std::string::npos)
        time_row(arena, code, r, library.get());
    }
    if (!row.empty()) continue;
    std::vector<Layer> layers;
    for (const Row& r : rows) layers.push_back(make_layer(arena, code, r, library.get()));
    double step[2];
    for (const bool codes : {false, true}) {
      step[codes] = sustained_seconds(
          [&](int) {
            for (const Layer& l : layers) {
              for (int i = 0; i < l.times; ++i) codes ? l.codes(i) : l.bf16(i);
            }
          },
          1.2);
    }
    std::printf("%-4s linears of a step: %.1f ms, cublasLt bf16 without epilogues %.1f ms\n",
                kCodeNames[int(code)], step[1] * 1e3, step[0] * 1e3);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace octavo::bench

int main(int argc, char** argv) {
  using namespace octavo::bench;
  const std::string what = argc > 1 ? argv[1] : "both";
  const Arena arena;
  if (what != "time") check_all(arena);
  if (what != "check") time_all(arena, argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "");
  return failures > 0;
}
