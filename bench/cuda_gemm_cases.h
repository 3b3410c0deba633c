#pragma once
// Products for bench/cuda_gemm*: variants by name, operands on the device, the products of a
// FLUX.1-dev step.
#include <string>
#include <vector>

#include "cuda_gemm_check.h"
#include "kernels/cuda/sm90/instance.h"

namespace octavo::bench {

std::string text(cuda::sm90::Element element);
std::string text(const cuda::sm90::Variant& variant);  // 128x192.2x1t: tile, cluster, share
std::string text(const cuda::sm90::Instance& instance);
std::vector<cuda::sm90::Instance> all_instances();
int bytes_of(cuda::sm90::Element element);
int processors();

// Everything that products may read and write, large enough for the largest case; made once.
struct Arena {
  static constexpr int64_t kOperand = int64_t{8192} * 15360 * 2, kRows = 1 << 16;
  void *x, *w, *y, *residual, *gate;  // y: twice kOperand
  float *x_scale, *w_scale, *bias, *out_scale, *out_scale_copy;
  Arena();
  void fill(cuda::sm90::Element element);
  void fill_sides(cuda::sm90::Output output);
};

struct Options {
  cuda::sm90::Activation activation = cuda::sm90::Activation::none;
  bool bias = false, x_by_row = false, w_by_row = false, gate = false, residual = false;
};
struct Extents {
  int64_t m, n, k;
};
// A product on the arena's operands; of a group, each at places of its own.
cuda::sm90::Gemm make_gemm(const Arena& arena, cuda::sm90::Element element,
                           cuda::sm90::Output output, Extents extents, Options options);
std::vector<cuda::sm90::Gemm> make_group(const Arena& arena, cuda::sm90::Element element,
                                         cuda::sm90::Output output,
                                         const std::vector<Extents>& extents, Options options);

// One launch, or what could be one, of a FLUX.1-dev step of 4096 + 512 tokens, and how often.
struct StepProducts {
  const char* name;
  int count;
  std::vector<Extents> extents;
  Options options;
  bool codes = false;
};
const std::vector<StepProducts>& step_products();

// Prints the table of rates.
void time_all(Arena& arena, const std::vector<cuda::sm90::Element>& elements);

}  // namespace octavo::bench
