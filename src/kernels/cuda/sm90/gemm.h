#pragma once
// y[M, N] = epilogue(sum over k of x[M, K] w[N, K]) on Hopper: bf16 and e4m3 with f32 sums, i8 with
// exact int32 sums (K < 2^17). All matrices are row-major, x and w along K, and dense but for y,
// whose rows may lie further apart.
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
#include <span>
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

// How the two warpgroups of a block work: a tile each in turns, or one tile together, half of its
// rows or of its columns each.
enum class Share : uint8_t { turns, rows, columns };

// A variant of the kernel: tiles of tile_m x tile_n in clusters of `down` x `across` blocks that
// share what they fetch. accurate: e4m3's sums, which the tensor cores keep to 14 bits, are carried
// on in f32 registers every 128 of K.
struct Variant {
  int tile_m = 128, tile_n = 192, down = 2, across = 1;
  Share share = Share::turns;
  bool accurate = false;
  // Of the part of a tile that a warpgroup multiplies.
  constexpr int group_rows() const { return share == Share::rows ? tile_m / 2 : tile_m; }
  constexpr int group_cols() const { return share == Share::columns ? tile_n / 2 : tile_n; }
  bool operator==(const Variant&) const = default;
};
constexpr Variant kNoVariant = {0, 0, 0, 0, Share::turns, false};

struct Gemm {
  Element element = Element::bf16;
  Output output = Output::bf16;
  int64_t m = 0, n = 0, k = 0;
  const void *x = nullptr, *w = nullptr;
  void* y = nullptr;
  Epilogue epilogue;
  int64_t y_pitch = 0;  // elements from one row of y to the next; 0: n
};

// Products that run in one launch: of the same types, none reading what another writes.
constexpr int kMostProblems = 6;

// Empty, or which part of the contract does not hold; without_addresses: of the extents alone.
std::string gemm_refusal(const Gemm& gemm, bool without_addresses = false);
// The variant with the least estimated time on `processors` multiprocessors; kNoVariant if none has
// the types and all the activations, or if these are no group. Variants of the same `accurate` give
// the same bits.
Variant choose_variant(std::span<const Gemm> group, int processors, bool accurate);
// Enqueues. cudaErrorInvalidValue where the contract does not hold or there is no such variant.
cudaError_t run_gemms(std::span<const Gemm> group, const Variant& variant, int processors,
                      cudaStream_t stream);

}  // namespace octavo::cuda::sm90
