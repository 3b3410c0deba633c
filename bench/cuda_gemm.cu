// The sm90 matrix product (kernels/cuda/sm90/gemm.h): `bench_cuda_gemm check` compares every
// variant with a reference, `bench_cuda_gemm time` measures them beside cuBLASLt. Without an
// argument: both.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "cuda_gemm_check.h"
#include "cuda_gemm_cublaslt.h"
#include "kernels/cuda/sm90/instance.h"

namespace octavo::bench {
namespace {

using namespace cuda::sm90;

constexpr const char* kElementNames[] = {"bf16", "e4m3", "i8"};
constexpr const char* kOutputNames[] = {"bf16", "f32", "codes"};
constexpr const char* kActivationNames[] = {"none", "silu", "gelu_tanh", "gelu"};

const char* name_of(Element e) { return kElementNames[static_cast<int>(e)]; }

std::string text(const Instance& i) {
  return std::string(name_of(i.element)) + " -> " + kOutputNames[int(i.output)] + " " +
         std::to_string(i.variant.tile_m) + "x" + std::to_string(i.variant.tile_n) + " c" +
         std::to_string(i.variant.cluster) + (i.variant.turns ? " turns" : "") +
         (i.variant.accurate ? " accurate" : "");
}

std::vector<Instance> all_instances() {
  std::vector<Instance> list;
  for (const auto part : {gemm_bf16_instances(), gemm_e4m3_instances(), gemm_e4m3_codes_instances(),
                          gemm_i8_instances(), gemm_i8_codes_instances()}) {
    list.insert(list.end(), part.begin(), part.end());
  }
  return list;
}

int bytes_of(Element e) { return e == Element::bf16 ? 2 : 1; }
int processors() {
  static const int count = [] {
    int n = 0;
    must(cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, 0), "attribute");
    return n;
  }();
  return count;
}

// Everything that a product may read, large enough for the largest case; made once.
struct Arena {
  static constexpr int64_t kOperand = int64_t{8192} * 15360 * 2, kRows = 1 << 16;
  void *x, *w, *y, *residual, *gate;
  float *x_scale, *w_scale, *bias, *out_scale, *out_scale_copy;
  Arena() {
    x = device_alloc(kOperand), w = device_alloc(2 * kOperand);
    y = device_alloc(2 * kOperand), residual = device_alloc(2 * kOperand);
    gate = device_alloc(kRows * 64);
    for (float** p : {&x_scale, &w_scale, &bias, &out_scale, &out_scale_copy}) {
      *p = static_cast<float*>(device_alloc(kRows * 4));
    }
    fill_random_f32(x_scale, kRows, 1, 0.5e-2f, 1e-2f);
    fill_random_f32(w_scale, kRows, 2, 0.5e-3f, 1e-3f);
    fill_random_f32(bias, kRows, 3, -2, 2);
    fill_random_f32(out_scale, 1, 4, 0.011f, 0.012f);
  }
  void fill(Element element) {
    fill_random(element, x, kOperand / bytes_of(element), 5);
    fill_random(element, w, kOperand / bytes_of(element), 6);
  }
  void fill_sides(Output output) {
    if (output == Output::f32) {
      fill_random_f32(static_cast<float*>(residual), kOperand / 4, 7, -3, 3);
      fill_random_f32(static_cast<float*>(gate), kRows * 16, 8, -1, 1);
    } else {
      fill_random(Element::bf16, residual, kOperand / 2, 7);
      fill_random(Element::bf16, gate, kRows * 32, 8);
    }
  }
};

struct Options {
  Activation activation = Activation::none;
  bool bias = false, x_by_row = false, w_by_row = false, gate = false, residual = false;
};

Gemm make_gemm(const Arena& a, const Instance& i, int64_t m, int64_t n, int64_t k, Options o) {
  Gemm g = {i.element, i.output, m, n, k, a.x, a.w, a.y, {}};
  Epilogue& e = g.epilogue;
  if (i.element != Element::bf16) {
    e.x_scale = a.x_scale, e.w_scale = a.w_scale, e.x_by_row = o.x_by_row, e.w_by_row = o.w_by_row;
  }
  if (o.bias) e.bias = a.bias;
  e.activation = o.activation;
  if (i.output == Output::codes) {
    e.out_scale = a.out_scale, e.out_scale_copy = a.out_scale_copy;
  } else {
    if (o.gate) e.gate = a.gate, e.rows_per_sample = static_cast<int>(m % 2 == 0 ? m / 2 : m);
    if (o.residual) e.residual = a.residual;
  }
  return g;
}

int failures = 0;
std::vector<Element> elements = {Element::e4m3, Element::bf16, Element::i8};

void check(const Arena& arena, const Instance& i, int64_t m, int64_t n, int64_t k, Options o) {
  if (!has_all_activations(i.variant.tile_n) && o.activation != Activation::none) {
    o.activation = Activation::gelu_tanh;
  }
  const Gemm g = make_gemm(arena, i, m, n, k, o);
  if (!gemm_refusal(g).empty()) return;
  must(cudaMemset(arena.y, 0xff, static_cast<size_t>(m * n) * 4), "memset");
  must(run_gemm(g, i.variant, processors(), nullptr), text(i).c_str());
  must(cudaDeviceSynchronize(), text(i).c_str());
  const Comparison c = compare(g, i.variant.accurate);
  // What the rounding of the operands alone would do is 2^-9 (bf16), 2^-4 (e4m3).
  const bool wrong = c.wrong > 0 || c.rms > 4e-3;
  failures += wrong;
  if (wrong || (i.output == Output::f32 && k == 3072)) {
    std::printf("%s  %s  %ldx%ldx%ld %s%s%s%s%s%s: %ld wrong, rms %.2g\n", wrong ? "FAIL" : "ok  ",
                text(i).c_str(), m, n, k, kActivationNames[int(o.activation)],
                o.bias ? " bias" : "", o.x_by_row ? " x/row" : "", o.w_by_row ? " w/row" : "",
                o.gate ? " gate" : "", o.residual ? " residual" : "", c.wrong, c.rms);
    std::fflush(stdout);
  }
}

struct Shape {
  int64_t m, n, k;
};

void check_all(Arena& arena) {
  const Shape shapes[] = {{1, 64, 64},      {28, 16, 16},     {64, 3072, 272},   {130, 1000, 144},
                          {129, 208, 3072}, {512, 4104, 528}, {1024, 640, 1536}, {300, 272, 4096}};
  int count = 0;
  for (const Element element : elements) {
    arena.fill(element);
    for (const Output output : {Output::bf16, Output::f32, Output::codes}) {
      arena.fill_sides(output);
      for (const Instance& i : all_instances()) {
        if (i.element != element || i.output != output) continue;
        int turn = 0;
        for (const Shape& s : shapes) {
          for (int twice = 0; twice < 2; ++twice, ++turn, ++count) {
            check(arena, i, s.m, s.n, s.k,
                  {Activation(turn % 4), turn % 3 > 0, turn % 2 > 0, turn % 5 > 1, turn % 3 == 1,
                   turn % 4 > 1});
          }
        }
        check(arena, i, 4608, 3072, 3072, {Activation::none, true, false, true, true, true});
        if (i.variant.tile_n >= 192 && i.variant.cluster == 2) {
          check(arena, i, 4608, 12288, 3072, {Activation::gelu_tanh, true, false, true});
          check(arena, i, 4608, 3072, 12288, {Activation::none, true, true, true, true, true});
        }
        count += 3;
      }
    }
  }
  std::printf("%d checks, %d failed\n", count, failures);
  std::fflush(stdout);
}

// Median seconds of one of `each` launches in a row.
double median_seconds(const std::function<void(int)>& launch, int samples, int each) {
  static cudaEvent_t begin = nullptr, end = nullptr;
  if (!begin) {
    must(cudaEventCreate(&begin), "event");
    must(cudaEventCreate(&end), "event");
  }
  std::vector<double> times;
  int turn = 0;
  for (int i = -3; i < samples; ++i) {
    must(cudaEventRecord(begin), "event");
    for (int j = 0; j < each; ++j) launch(turn++);
    must(cudaEventRecord(end), "event");
    must(cudaEventSynchronize(end), "launch");
    float ms = 0;
    must(cudaEventElapsedTime(&ms, begin, end), "event");
    if (i >= 0) times.push_back(ms * 1e-3 / each);
  }
  std::nth_element(times.begin(), times.begin() + samples / 2, times.end());
  return times[static_cast<size_t>(samples / 2)];
}

// Weights come from memory, as in a net, and x from L2 where it fits: places for w rotate.
const void* rotated(const Arena& arena, const Gemm& g, int turn) {
  const int64_t bytes = (g.n * g.k * bytes_of(g.element) + 255) / 256 * 256;
  const int64_t places = std::max<int64_t>(1, Arena::kOperand / bytes);
  return static_cast<const std::byte*>(arena.w) + turn % places * bytes;
}

double tflops(const Gemm& g, double seconds) { return 2e-12 * g.m * g.n * g.k / seconds; }

// Clock and power after a third of a second of nothing else, as nvidia-smi prints them.
std::string clock_under_load(const std::function<void(int)>& launch, double seconds) {
  const int count = static_cast<int>(0.6 / seconds);
  for (int i = 0; i < count; ++i) launch(i);
  const timespec pause = {0, 300'000'000};
  nanosleep(&pause, nullptr);
  char line[128] = "";
  if (FILE* smi =
          popen("nvidia-smi --query-gpu=clocks.sm,power.draw --format=csv,noheader,nounits", "r")) {
    if (!std::fgets(line, sizeof(line), smi)) line[0] = 0;
    pclose(smi);
  }
  must(cudaDeviceSynchronize(), "launch");
  std::string text = line;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return "(" + text + ")";
}

// One row of the table; with_clocks: also how fast the processor runs meanwhile.
void time_shape(const Arena& arena, CublasLt* library, Element element, const char* name, Shape s,
                Options o, bool with_clocks) {
  constexpr int kSamples = 30;
  const int each = s.m * s.n * s.k > (int64_t{1} << 37) ? 2 : 5;
  const auto print = [&](const Gemm& g, const std::string& what,
                         const std::function<void(int)>& launch) {
    const double seconds = median_seconds(launch, kSamples, each);
    std::printf(" %s %.0f%s", what.c_str(), tflops(g, seconds),
                with_clocks ? clock_under_load(launch, seconds).c_str() : "");
    std::fflush(stdout);
  };
  std::printf("%-4s %-14s %5ld %5ld %5ld |", name_of(element), name, s.m, s.n, s.k);
  if (library) {
    const Gemm g = {element, Output::bf16, s.m, s.n, s.k, arena.x, arena.w, arena.y, {}};
    const auto of = [&](const CublasLt::Launch& l) {
      return [&arena, g, l](int t) { l(g.x, rotated(arena, g, t), g.y); };
    };
    const auto plan =
        library->plan(g, [&](const auto& l) { return median_seconds(of(l), 5, each); });
    if (plan) print(g, "cublaslt", of(plan));
  }
  for (const Instance& i : all_instances()) {
    if (i.element != element || i.output == Output::f32) continue;
    const bool wants_codes = o.activation != Activation::none && element != Element::bf16;
    if (wants_codes != (i.output == Output::codes)) continue;
    const Gemm g = make_gemm(arena, i, s.m, s.n, s.k, o);
    const Variant &v = i.variant, chosen = choose_variant(g, processors(), v.accurate);
    const std::string what = std::to_string(v.tile_m) + "." + std::to_string(v.tile_n) + "." +
                             std::to_string(v.cluster) + (v.turns ? "t" : "") +
                             (v.accurate ? "acc" : "") + (chosen == v ? "*" : "");
    print(g, what, [&](int turn) {
      Gemm again = g;
      again.w = rotated(arena, g, turn);
      must(run_gemm(again, v, processors(), nullptr), "launch");
    });
  }
  std::printf("\n");
}

void time_all(Arena& arena) {
  const auto library = CublasLt::open();
  if (!library) std::printf("no cuBLASLt here\n");
  const Options plain = {Activation::none, true, false, true};
  const Options row = {Activation::none, true, true, true};
  const Options gelu = {Activation::gelu_tanh, true, false, true};
  const Options out = {Activation::none, true, false, true, true, true};
  struct Row {
    const char* name;
    Shape shape;
    Options options;
  };
  const Row rows[] = {
      {"qkv bias", {4608, 9216, 3072}, plain},   {"qkv bias rows", {4608, 9216, 3072}, row},
      {"up gelu q", {4608, 12288, 3072}, gelu},  {"down gate res", {4608, 3072, 12288}, out},
      {"single in", {4608, 21504, 3072}, plain}, {"single out g r", {4608, 3072, 15360}, out},
      {"out gate res", {4608, 3072, 3072}, out}, {"cube", {8192, 8192, 8192}, plain},
      {"text up", {512, 10240, 4096}, plain},    {"text down", {512, 4096, 10240}, plain},
      {"modulation", {28, 18432, 3072}, plain},  {"emoji ff", {256, 1536, 384}, plain},
      {"emoji down", {256, 384, 1536}, plain},   {"emoji out", {128, 384, 384}, plain}};
  std::printf("TFLOP/s (MHz, W); a variant is tile_m.tile_n.cluster, t: in turns, *: chosen\n");
  for (const Element element : elements) {
    arena.fill(element);
    arena.fill_sides(Output::bf16);
    for (const Row& r : rows) {
      time_shape(arena, library.get(), element, r.name, r.shape, r.options,
                 r.shape.m == 8192 || r.options.activation != Activation::none);
    }
  }
}

}  // namespace
}  // namespace octavo::bench

int main(int argc, char** argv) {
  using namespace octavo::bench;
  const std::string what = argc > 1 ? argv[1] : "both";
  std::erase_if(elements, [&](auto e) { return argc > 2 && argv[2] != std::string(name_of(e)); });
  Arena arena;
  if (what != "time") check_all(arena);
  if (what != "check") time_all(arena);
  return failures > 0;
}
