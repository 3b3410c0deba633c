#pragma once
// Data and verdicts for bench/cuda_gemm.cu: operands on the device, and y compared with sums in
// double (int32 for i8).
#include <cstdint>
#include <string>

#include "kernels/cuda/sm90/gemm.h"

namespace octavo::bench {

void must(cudaError_t status, const char* what);
void* device_alloc(size_t bytes);

// count values of about a normal distribution, as a quantizer would leave them: the largest of them
// near the top of the format.
void fill_random(cuda::sm90::Element element, void* data, int64_t count, uint32_t seed);
void fill_random_f32(float* data, int64_t count, uint32_t seed, float low, float high);

struct Comparison {
  int64_t wrong = 0;  // elements outside of the bounds that the arithmetic sets
  double rms = 0;     // relative error, of f32 outputs only
};
// y of `gemm`, which has run, against the reference; `accurate` as in Variant.
Comparison compare(const cuda::sm90::Gemm& gemm, bool accurate);
// Bytes of y that are not those of the dense `reference`, and bytes between y's rows that are not
// `gap`.
int64_t differing_bytes(const cuda::sm90::Gemm& gemm, const void* reference, uint8_t gap);

}  // namespace octavo::bench
