#pragma once
// y[M, N] = epilogue(sum over k of x[M, K] w[N, K]) on Hopper: bf16 and e4m3 with f32 sums, i8 with
// exact int32 sums (K < 2^17). All matrices are dense and row-major, x and w along K.
//
// The epilogue, every step rounded to f32 on its own, absent operands leaving their step out:
//   v = float(sum) * (x_scale * w_scale);  v = v + bias;  v = activation(v);  v = gate * v;
//   v = residual + v;  y = v rounded, or code = encode(v / out_scale)
//
// Contract: M, N, K > 0 and below 2^31; addresses of x, w, y, gate and residual are multiples of
// 16 bytes, and so are the rows' lengths in bytes (the copy engine wants both). gemm_refusal() says
// what is not.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace octavo::cuda::sm90 {

enum class Activation : uint8_t { none, silu, gelu_tanh, gelu };
enum class Element : uint8_t { bf16, e4m3, i8 };
enum class Output : uint8_t { bf16, f32, codes };  // codes: of the operands' element, not bf16

// What happens to the sums; pointers are device addresses.
struct Epilogue {
  const float* x_scale = nullptr;  // [1], or [M] where x_by_row; nullptr: no scales at all
  const float* w_scale = nullptr;  // [1], or [N] where w_by_row
  bool x_by_row = false, w_by_row = false;
  uint8_t bias_bytes = 4;  // 4: f32, 2: bf16
  Activation activation = Activation::none;
  const void* bias = nullptr;      // [N]
  const void* gate = nullptr;      // [samples, N] of y's type
  const void* residual = nullptr;  // [M, N] of y's type
  int rows_per_sample = 1;
  const float* out_scale = nullptr;  // [1]
  float* out_scale_copy = nullptr;   // [1], or nullptr
  uint32_t* not_finite = nullptr;    // set where a NaN meets i8; may be nullptr
};

// A variant of the kernel: tiles of tile_m x tile_n, `cluster` blocks along M sharing their tile of
// w, the two warpgroups of a block taking turns at tiles or sharing them. accurate: e4m3's sums,
// which the tensor cores keep to 14 bits, are carried on in f32 registers every 128 of K.
struct Variant {
  int tile_m = 128, tile_n = 192, cluster = 2;
  bool turns = true, accurate = false;
  bool operator==(const Variant&) const = default;
};

struct Gemm {
  Element element = Element::bf16;
  Output output = Output::bf16;
  int64_t m = 0, n = 0, k = 0;
  const void *x = nullptr, *w = nullptr;
  void* y = nullptr;
  Epilogue epilogue;
};

// Empty, or which part of the contract does not hold; without_addresses: of the extents alone.
std::string gemm_refusal(const Gemm& gemm, bool without_addresses = false);
// The variant with the least estimated time on `processors` multiprocessors.
Variant choose_variant(const Gemm& gemm, int processors, bool accurate);
// Enqueues. cudaErrorInvalidValue where the contract does not hold or there is no such variant.
cudaError_t run_gemm(const Gemm& gemm, const Variant& variant, int processors, cudaStream_t stream);

}  // namespace octavo::cuda::sm90
