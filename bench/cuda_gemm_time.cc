// Rates: sustained, as a step of a large model has them, beside cuBLASLt in the same run.
#include <algorithm>
#include <cstdio>
#include <functional>

#include "cuda_gemm_cases.h"
#include "cuda_gemm_cublaslt.h"

namespace octavo::bench {
namespace {

using namespace cuda::sm90;

using Launch = std::function<void(int turn)>;

// Seconds of `count` launches after `before` others.
double seconds_of(const Launch& launch, int before, int count) {
  static cudaEvent_t begin = nullptr, end = nullptr;
  if (!begin) {
    must(cudaEventCreate(&begin), "event");
    must(cudaEventCreate(&end), "event");
  }
  for (int i = 0; i < before; ++i) launch(i);
  must(cudaEventRecord(begin), "event");
  for (int i = 0; i < count; ++i) launch(before + i);
  must(cudaEventRecord(end), "event");
  must(cudaEventSynchronize(end), "launch");
  float ms = 0;
  must(cudaEventElapsedTime(&ms, begin, end), "event");
  return ms * 1e-3;
}

// Seconds of a launch among others of its kind that have run for a tenth of a second: large
// products run into the limit of power, and clocks follow.
double sustained_seconds(const Launch& launch) {
  const double once = seconds_of(launch, 2, 5) / 5, budget = once > 1.5e-5 ? 0.1 : 0.01;
  const int count = static_cast<int>(budget / once) + 1;
  return seconds_of(launch, count, count / 2 + 1) / (count / 2 + 1);
}

// Weights come from memory, as in a net, and x from L2 where it fits: places for w rotate.
std::vector<Gemm> rotated(const std::vector<Gemm>& group, int turn) {
  int64_t bytes = 0;
  for (const Gemm& g : group) bytes += (g.n * g.k * bytes_of(g.element) + 255) / 256 * 256;
  const int64_t places = std::max<int64_t>(1, Arena::kOperand / bytes);
  std::vector<Gemm> moved = group;
  for (Gemm& g : moved) g.w = static_cast<const std::byte*>(g.w) + turn % places * bytes;
  return moved;
}

Launch launch_of(const std::vector<Gemm>& group, const Variant& variant) {
  return [=](int turn) {
    must(run_gemms(rotated(group, turn), variant, processors(), nullptr), "launch");
  };
}
Launch launch_separately(const std::vector<Gemm>& group) {
  std::vector<Variant> variants;
  for (const Gemm& g : group) variants.push_back(choose_variant({&g, 1}, processors(), false));
  return [=](int turn) {
    const std::vector<Gemm> gemms = rotated(group, turn);
    for (size_t i = 0; i < gemms.size(); ++i) {
      must(run_gemms({&gemms[i], 1}, variants[i], processors(), nullptr), "launch");
    }
  };
}
// Empty where the library has no product.
Launch launch_library(CublasLt* library, const std::vector<Gemm>& group) {
  if (!library) return {};
  std::vector<CublasLt::Launch> plans;
  for (const Gemm& g : group) {
    plans.push_back(library->plan(g, [&](const CublasLt::Launch& plan) {
      return seconds_of([&](int turn) { plan(rotated({g}, turn)[0]); }, 5, 20);
    }));
    if (!plans.back()) return {};
  }
  return [=](int turn) {
    const std::vector<Gemm> gemms = rotated(group, turn);
    for (size_t i = 0; i < gemms.size(); ++i) plans[i](gemms[i]);
  };
}

double operations(const std::vector<Gemm>& group) {
  double sum = 0;
  for (const Gemm& g : group) sum += 2.0 * g.m * g.n * g.k;
  return sum;
}

// What the launches of a step take, in ms.
struct Total {
  double library = 0, separate = 0, chosen = 0, best = 0;
};

void time_group(CublasLt* library, const StepProducts& s, const std::vector<Gemm>& group,
                Total* total) {
  const auto print = [&](const std::string& what, const Launch& launch) {
    const double seconds = sustained_seconds(launch);
    std::printf(" %s %.0f", what.c_str(), 1e-12 * operations(group) / seconds);
    std::fflush(stdout);
    return seconds * 1e3 * s.count;
  };
  std::printf("%-4s %-12s %2d x |", text(group[0].element).c_str(), s.name, s.count);
  if (const Launch launch = launch_library(library, group)) {
    total->library += print("cublaslt", launch);
  }
  const double separate = print("separate", launch_separately(group));
  const Variant chosen = choose_variant(group, processors(), false);
  double best = 0;
  for (const Instance& i : all_instances()) {
    if (i.element != group[0].element || i.output != group[0].output || i.variant.accurate)
      continue;
    const double ms =
        print(text(i.variant) + (i.variant == chosen ? "*" : ""), launch_of(group, i.variant));
    if (i.variant == chosen) total->chosen += ms;
    if (best == 0 || ms < best) best = ms;
  }
  total->separate += separate, total->best += best;
  std::printf("\n");
}

// Others than a step's.
const std::vector<StepProducts>& more_products() {
  const Options plain = {Activation::none, true, false, true};
  static const std::vector<StepProducts> products = {
      {"cube", 1, {{8192, 8192, 8192}}, plain},      {"text qkv", 1, {{512, 3072, 3072}}, plain},
      {"text up", 1, {{512, 10240, 4096}}, plain},   {"text down", 1, {{512, 4096, 10240}}, plain},
      {"modulation", 1, {{28, 18432, 3072}}, plain}, {"emoji ff", 1, {{256, 1536, 384}}, plain},
      {"emoji down", 1, {{256, 384, 1536}}, plain},  {"emoji out", 1, {{128, 384, 384}}, plain}};
  return products;
}

}  // namespace

void time_all(Arena& arena, const std::vector<Element>& elements) {
  const auto library = CublasLt::open();
  if (!library) std::printf("no cuBLASLt here\n");
  std::printf(
      "TFLOP/s; a variant is tile.cluster, t: in turns, r, c: rows, columns shared, *: chosen\n");
  for (const Element element : elements) {
    arena.fill(element);
    arena.fill_sides(Output::bf16);
    Total total, ignored;
    for (const auto* list : {&step_products(), &more_products()}) {
      for (const StepProducts& s : *list) {
        const bool codes = s.codes && element != Element::bf16;
        const Output output = codes ? Output::codes : Output::bf16;
        const std::vector<Gemm> group = make_group(arena, element, output, s.extents, s.options);
        time_group(library.get(), s, group, list == &step_products() ? &total : &ignored);
      }
    }
    std::printf(
        "%-4s a step's products, ms: cublaslt %.1f, separate %.1f, chosen %.1f, best %.1f\n",
        text(element).c_str(), total.library, total.separate, total.chosen, total.best);
  }
}

}  // namespace octavo::bench
