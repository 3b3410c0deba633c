#pragma once
// y[M, N] = epilogue(sum over k of x[M, K] w[N, K]) on Hopper, x in bf16 and w in codes, widened to
// bf16 exactly on their way into the tensor cores; sums in f32, y in bf16.
//
// Scales by row (or one for all) belong to the epilogue, as in gemm.h. i4 has groups along k:
// (code - zero_point) scale is rounded to bf16 before it is multiplied.
//
// Contract: M, N, K > 0 and below 2^31; addresses of x, w, y and residual are multiples of 16
// bytes, and so are the lengths of the rows of x, w and y in bytes; groups are multiples of 64, or
// K. gemm_mixed_refusal() says what is not.
#include <span>

#include "kernels/cuda/sm90/gemm.h"

namespace octavo::cuda::sm90 {

enum class MixedCode : uint8_t { i8, e4m3, i4 };
enum class GroupScale : uint8_t { f32, f16, bf16 };

// Of i4. A group is a tile of one row and `size` codes; scale and zero_point are [N, K / size].
struct Groups {
  int64_t size = 0;
  GroupScale type = GroupScale::f16;
  const void* scale = nullptr;
  const float* zero_point = nullptr;  // nullptr: 0
};

// Tiles of 128 columns and tile_m rows of y, `cluster` blocks along N sharing their tile of x.
struct MixedVariant {
  int tile_m = 0, cluster = 0;
  bool operator==(const MixedVariant&) const = default;
};

struct MixedGemm {
  MixedCode code = MixedCode::i8;
  int64_t m = 0, n = 0, k = 0;
  const void *x = nullptr, *w = nullptr;
  void* y = nullptr;
  int64_t y_pitch = 0;  // from one row of y to the next; 0: N
  Groups groups;
  Epilogue epilogue;  // without x_scale and out_scale; w_scale not for i4
};
constexpr int kMixedMembers = 8;  // products of one launch, at most

// Empty, or which part of the contract does not hold; without_addresses: of the extents alone.
std::string gemm_mixed_refusal(const MixedGemm& gemm, bool without_addresses = false);
// The variant with the least estimated time on `processors` multiprocessors for products of one
// code that are launched together.
MixedVariant choose_variant(std::span<const MixedGemm> gemms, int processors);
// Enqueues up to kMixedMembers of them as one launch; every y has the bits that a launch of its own
// gives it. cudaErrorInvalidValue where the contract does not hold or there is no such variant.
cudaError_t run_gemms(std::span<const MixedGemm> gemms, const MixedVariant& variant, int processors,
                      cudaStream_t stream);

}  // namespace octavo::cuda::sm90
