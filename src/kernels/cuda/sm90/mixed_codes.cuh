#pragma once
// From codes in shared memory to registers of bf16: the A operand of WgmmaRegisters. A stage holds
// rows of 64 codes along K, in the copy engine's swizzle whose span is a row.
#include "kernels/cuda/sm90/mixed_instance.h"
#include "kernels/cuda/sm90/ptx.cuh"

namespace octavo::cuda::sm90 {

__device__ inline uint32_t subtract_bf16x2(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("sub.rn.bf16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}

// Codes of a byte: a thread's pairs are 2 bytes.
struct Bytes {
  static constexpr bool kGrouped = false;
  static constexpr int kRowBytes = 64;
  // Of the thread's first pair: row 16 warp + lane / 4 of `first_row`'s block, column 2 (lane % 4).
  __device__ static uint32_t offset(int row, int lane) {
    return row * kRowBytes + ((row >> 1 & 3) << 4) + 2 * (lane & 3);
  }
  // The pair `right` columns of 8 to the right and `below` rows of 8 below in a product's 16
  // columns, the `step`-th of a stage.
  __device__ static uint32_t load(uint32_t first, int block, int step, int below, int right) {
    const uint32_t at = (first ^ step << 4) + (64 * block + 8 * below) * kRowBytes + 8 * right;
    uint16_t pair;
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(pair) : "r"(at));
    return pair;
  }
};

struct CodesI8 : Bytes {
  static constexpr MixedCode kCode = MixedCode::i8;
  // 128 + (code's low 7 bits) and 128 + (its sign bit) are bf16 whose last place is 1; their
  // difference is the code.
  __device__ static uint32_t widen(uint32_t pair, uint32_t) {
    const uint32_t spread = __byte_perm(pair, 0, 0x4140);
    return subtract_bf16x2((spread & 0x007f007f) | 0x43004300, (spread & 0x00800080) | 0x43004300);
  }
};

struct CodesE4m3 : Bytes {
  static constexpr MixedCode kCode = MixedCode::e4m3;
  // Through f16 and f32, both exact; bf16 is the upper half of f32.
  __device__ static uint32_t widen(uint32_t pair, uint32_t) {
    uint32_t low, high;
    asm("{\n.reg .b32 both;\n.reg .b16 l, h;\n"
        "cvt.rn.f16x2.e4m3x2 both, %2;\nmov.b32 {l, h}, both;\n"
        "cvt.f32.f16 %0, l;\ncvt.f32.f16 %1, h;\n}"
        : "=r"(low), "=r"(high)
        : "h"(static_cast<uint16_t>(pair)));
    return __byte_perm(low, high, 0x7632);
  }
};

// Two codes a byte, the left one in the low bits.
struct CodesI4 {
  static constexpr MixedCode kCode = MixedCode::i4;
  static constexpr bool kGrouped = true;
  static constexpr int kRowBytes = 32;
  __device__ static uint32_t offset(int row, int lane) {
    return row * kRowBytes + ((row >> 2 & 1) << 4) + (lane & 3);
  }
  __device__ static uint32_t load(uint32_t first, int block, int step, int below, int right) {
    const uint32_t at = (first ^ step >> 1 << 4) + (64 * block + 8 * below) * kRowBytes +
                        8 * (step & 1) + 4 * right;
    uint32_t pair;
    asm volatile("ld.shared.u8 %0, [%1];" : "=r"(pair) : "r"(at));
    return pair;
  }
  // A code with its sign bit flipped is code + 8; 128 + that is a bf16 whose last place is 1.
  // zero: 136 + zero point, twice.
  __device__ static uint32_t widen(uint32_t pair, uint32_t zero) {
    return subtract_bf16x2((pair * 0x1001 & 0x000f000f) ^ 0x43084308, zero);
  }
  __device__ static uint32_t zero_of(float zero_point) {
    const uint32_t half = __float_as_uint(136.0f + zero_point) >> 16;
    return half | half << 16;
  }
};

// Two products' worth of A: `half` of a stage, of a block of 64 rows.
template <class Codes>
__device__ void load_half(uint32_t first, int block, int half, const uint32_t (&zero)[2],
                          uint32_t (&a)[2][4]) {
  uint32_t pairs[2][4];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    pairs[i / 4][i % 4] = Codes::load(first, block, 2 * half + i / 4, i & 1, i >> 1 & 1);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) a[i / 4][i % 4] = Codes::widen(pairs[i / 4][i % 4], zero[i & 1]);
}

}  // namespace octavo::cuda::sm90
