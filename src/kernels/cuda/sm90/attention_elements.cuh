#pragma once
// What differs between the element types of attention on sm_90a: how tiles of v lie in shared
// memory, the products, and how weights are rounded for the second one. Sums are f32.
#include "kernels/cuda/mma16.cuh"
#include "kernels/cuda/sm90/attention_wgmma.cuh"
#include "kernels/cuda/sm90/tma.cuh"

namespace octavo::cuda::sm90 {

// bf16 and f16: v is [keys][depth], as it comes. Weights may exceed 1 by kSlack powers of two.
template <class T, int kDepth, int kKeys>
struct AttentionElements {
  using Code = T;
  using Out = T;
  static constexpr int kColumn = 64;
  static constexpr float kSlack = 8, kShift = 0;
  static constexpr int kValueBoxes = kDepth / kColumn;
  using Values = T[kValueBoxes][kKeys][kColumn];

  __device__ static void load_values(Values& to, const CUtensorMap* map, uint64_t* barrier, int box,
                                     int head, int key, int sample) {
    load_tile(to[box], map, barrier, box * kColumn, head, key, sample);
  }
  // One step of 32 bytes of depth, from the operands' addresses there.
  __device__ static void multiply_keys(float (&scores)[kKeys / 2], uint32_t q, uint32_t k,
                                       bool add) {
    ScoresProduct<T, kKeys>::run(scores, swizzled_operand(q, 16), swizzled_operand(k, 16), add);
  }
  __device__ static void multiply_values(float (&sums)[kDepth / 2], const uint32_t* weights,
                                         const Values& values) {
    const uint32_t v = shared_address(&values);
#pragma unroll
    for (int key = 0; key < kKeys; key += 16) {
      ValuesProduct<T, kDepth>::run(
          sums, weights + key / 4,
          swizzled_operand(v + key * kColumn * sizeof(T), sizeof(values[0])));
    }
  }
  static constexpr int kWords = kKeys / 4;  // of a thread's weights
  __device__ static void round(const float (&weights)[kKeys / 2], uint32_t (&to)[kWords]) {
#pragma unroll
    for (int i = 0; i < kWords; ++i) to[i] = pack16<T>(weights[2 * i], weights[2 * i + 1]);
  }
};

// e4m3: the tensor cores want v along its keys, so it comes transposed, [depth][keys], the keys of
// every 32 in the order in which a thread's weights already are: place 16 i + 4 l + 2 j + c has
// key 16 i + 8 j + 2 l + c. Weights are 2^kShift times larger, to use the format's range.
template <int kDepth, int kKeys>
struct AttentionElements<E4m3, kDepth, kKeys> {
  using Code = uint8_t;
  using Out = __nv_bfloat16;
  static constexpr int kColumn = 128, kValueColumn = 64;
  static constexpr float kSlack = 4, kShift = 4;  // 2^(4 + 4) < 448, the largest e4m3
  static constexpr int kValueBoxes = kKeys / kValueColumn;
  using Values = uint8_t[kValueBoxes][kDepth][kValueColumn];
  static_assert(kDepth == 128 && kKeys % kValueColumn == 0, "rows of 128 bytes, whole columns");

  __device__ static void load_values(Values& to, const CUtensorMap* map, uint64_t* barrier, int box,
                                     int head, int key, int sample) {
    load_tile(to[box], map, barrier, key + box * kValueColumn, 0, head, sample);
  }
  __device__ static void multiply_keys(float (&scores)[kKeys / 2], uint32_t q, uint32_t k,
                                       bool add) {
    Wgmma<E4m3, kKeys>::run(scores, swizzled_operand(q, 16), swizzled_operand(k, 16), add);
  }
  __device__ static void multiply_values(float (&sums)[kDepth / 2], const uint32_t* weights,
                                         const Values& values) {
    constexpr uint64_t kSwizzle64 = 2ull << 62, kEightRows = 512 >> 4;
    const uint32_t v = shared_address(&values);
#pragma unroll
    for (int key = 0; key < kKeys; key += 32) {
      const uint32_t at = v + key / kValueColumn * sizeof(values[0]) + key % kValueColumn;
      ValuesProduct<E4m3, kDepth>::run(
          sums, weights + key / 8,
          kSwizzle64 | kEightRows << 32 | 1ull << 16 | (at & 0x3ffff) >> 4);
    }
  }
  static constexpr int kWords = kKeys / 8;
  __device__ static void round(const float (&weights)[kKeys / 2], uint32_t (&to)[kWords]) {
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      const int at = i / 2 * 8 + i % 2 * 2;  // two blocks of 8 keys, one row
      asm("{\n.reg .b16 low, high;\n"
          "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n"
          "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
          "mov.b32 %0, {low, high};\n}"
          : "=r"(to[i])
          : "f"(weights[at]), "f"(weights[at + 1]), "f"(weights[at + 4]), "f"(weights[at + 5]));
    }
  }
};

}  // namespace octavo::cuda::sm90
