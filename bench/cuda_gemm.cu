// The sm90 matrix product (kernels/cuda/sm90/gemm.h): `bench_cuda_gemm check` compares every
// variant with a reference, `bench_cuda_gemm time` measures them beside cuBLASLt. Without an
// argument: both.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "cuda_gemm_cases.h"

namespace octavo::bench {
namespace {

using namespace cuda::sm90;

constexpr const char* kActivationNames[] = {"none", "silu", "gelu_tanh", "gelu"};

int checks = 0, failures = 0;

bool is_allowed(const Instance& i, Activation a) {
  return a == Activation::none || a == Activation::gelu_tanh ||
         has_all_activations(i.variant.group_cols());
}

void report(const std::string& what, const std::string& shape, const std::string& verdict) {
  std::printf("%s  %s: %s\n", what.c_str(), shape.c_str(), verdict.c_str());
  std::fflush(stdout);
}

void check(const Arena& arena, const Instance& i, Extents s, Options o) {
  if (!is_allowed(i, o.activation)) o.activation = Activation::gelu_tanh;
  const Gemm g = make_gemm(arena, i.element, i.output, s, o);
  if (!gemm_refusal(g).empty()) return;
  must(cudaMemset(arena.y, 0xff, static_cast<size_t>(s.m * s.n) * 4), "memset");
  must(run_gemms({&g, 1}, i.variant, processors(), nullptr), text(i).c_str());
  must(cudaDeviceSynchronize(), text(i).c_str());
  const Comparison c = compare(g, i.variant.accurate);
  // What the rounding of the operands alone would do is 2^-9 (bf16), 2^-4 (e4m3).
  const bool wrong = c.wrong > 0 || c.rms > 4e-3;
  ++checks, failures += wrong;
  if (wrong || (i.output == Output::f32 && s.k == 3072)) {
    char shape[160];
    std::snprintf(shape, sizeof(shape), "%ldx%ldx%ld %s%s%s%s%s%s", s.m, s.n, s.k,
                  kActivationNames[static_cast<int>(o.activation)], o.bias ? " bias" : "",
                  o.x_by_row ? " x/row" : "", o.w_by_row ? " w/row" : "", o.gate ? " gate" : "",
                  o.residual ? " residual" : "");
    report((wrong ? "FAIL  " : "ok    ") + text(i), shape,
           std::to_string(c.wrong) + " wrong, rms " + std::to_string(c.rms));
  }
}

int64_t bytes_of(Output output) {
  return output == Output::f32 ? 4 : output == Output::bf16 ? 2 : 1;
}

// y of every product, as separate launches of another variant, one after the other and dense.
void run_reference(const std::vector<Gemm>& group, bool accurate, std::byte* to) {
  for (Gemm g : group) {
    g.y = to, g.y_pitch = 0;
    to += (g.m * g.n * bytes_of(g.output) + 255) / 256 * 256;
    must(run_gemms({&g, 1}, choose_variant({&g, 1}, processors(), accurate), processors(), nullptr),
         "reference");
  }
}

// A group in one launch has the bits of separate launches, and leaves what lies between the rows of
// its outputs alone.
void check_group(const Arena& arena, const Instance& i, const std::vector<Extents>& extents,
                 Options o, int64_t gap) {
  if (!is_allowed(i, o.activation)) o.activation = Activation::gelu_tanh;
  std::vector<Gemm> group = make_group(arena, i.element, i.output, extents, o);
  auto* y = static_cast<std::byte*>(arena.y);
  for (Gemm& g : group) {
    g.y = y, g.y_pitch = g.n + gap;
    y += (g.m * g.y_pitch * bytes_of(g.output) + 255) / 256 * 256;
    if (!gemm_refusal(g).empty()) return;
  }
  auto* reference = static_cast<std::byte*>(arena.y) + Arena::kOperand;
  must(cudaMemset(arena.y, 0xa5, static_cast<size_t>(2 * Arena::kOperand)), "memset");
  run_reference(group, i.variant.accurate, reference);
  must(run_gemms(group, i.variant, processors(), nullptr), text(i).c_str());
  must(cudaDeviceSynchronize(), text(i).c_str());
  for (const Gemm& g : group) {
    const int64_t wrong = differing_bytes(g, reference, 0xa5);
    reference += (g.m * g.n * bytes_of(g.output) + 255) / 256 * 256;
    ++checks, failures += wrong > 0;
    if (wrong == 0) continue;
    report("FAIL  group of " + std::to_string(group.size()) + " " + text(i),
           std::to_string(g.m) + "x" + std::to_string(g.n) + "x" + std::to_string(g.k) + " gap " +
               std::to_string(gap),
           std::to_string(wrong) + " bytes differ");
  }
}

void check_groups(const Arena& arena, const Instance& i) {
  const std::vector<Extents> groups[] = {
      {{512, 1024, 1024}},
      {{4096, 208, 272}, {1, 208, 272}, {77, 208, 272}, {512, 208, 272}},
      {{1, 64, 1536}, {77, 1040, 144}, {512, 400, 64}, {300, 3088, 2064}, {28, 16, 16}},
      {{4096, 3072, 512},
       {4096, 3072, 512},
       {4096, 3072, 512},
       {512, 3072, 512},
       {512, 3072, 512},
       {512, 3072, 512}}};
  int turn = 0;
  for (const std::vector<Extents>& extents : groups) {
    for (const int64_t gap : {int64_t{0}, int64_t{64}}) {
      ++turn;
      check_group(arena, i, extents,
                  {Activation(turn % 4), turn % 3 > 0, turn % 2 > 0, turn % 5 > 1, turn % 4 > 1,
                   turn % 3 != 1},
                  gap);
    }
  }
}

void check_instance(const Arena& arena, const Instance& i) {
  const Extents shapes[] = {{1, 64, 64},       {28, 16, 16},     {64, 3072, 272},
                            {130, 1000, 144},  {129, 208, 3072}, {512, 4104, 528},
                            {1024, 640, 1536}, {300, 272, 4096}};
  int turn = 0;
  for (const Extents& s : shapes) {
    for (int twice = 0; twice < 2; ++twice, ++turn) {
      check(arena, i, s,
            {Activation(turn % 4), turn % 3 > 0, turn % 2 > 0, turn % 5 > 1, turn % 3 == 1,
             turn % 4 > 1});
    }
  }
  check(arena, i, {4608, 3072, 3072}, {Activation::none, true, false, true, true, true});
  if (i.variant.tile_n >= 192 && i.variant.down == 2) {
    check(arena, i, {4608, 12288, 3072}, {Activation::gelu_tanh, true, false, true});
    check(arena, i, {4608, 3072, 12288}, {Activation::none, true, true, true, true, true});
  }
  check_groups(arena, i);
}

void check_all(Arena& arena, const std::vector<Element>& elements) {
  for (const Element element : elements) {
    arena.fill(element);
    for (const Output output : {Output::bf16, Output::f32, Output::codes}) {
      arena.fill_sides(output);
      for (const Instance& i : all_instances()) {
        if (i.element == element && i.output == output) check_instance(arena, i);
      }
    }
  }
  std::printf("%d checks, %d failed\n", checks, failures);
  std::fflush(stdout);
}

}  // namespace
}  // namespace octavo::bench

int main(int argc, char** argv) {
  using namespace octavo::bench;
  const std::string what = argc > 1 ? argv[1] : "both";
  std::vector<Element> elements = {Element::e4m3, Element::bf16, Element::i8};
  std::erase_if(elements, [&](auto e) { return argc > 2 && argv[2] != text(e); });
  Arena arena;
  if (what != "time") check_all(arena, elements);
  if (what != "check") time_all(arena, elements);
  return failures > 0;
}
