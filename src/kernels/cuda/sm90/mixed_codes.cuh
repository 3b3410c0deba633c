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

// (a & kMask) | b in one instruction.
template <uint32_t kMask>
__device__ uint32_t masked_or(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(a), "n"(kMask), "r"(b));
  return d;
}
// (a & kMask) ^ b.
template <uint32_t kMask>
__device__ uint32_t masked_xor(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0x6a;" : "=r"(d) : "r"(a), "n"(kMask), "r"(b));
  return d;
}

// A group's values are fmaf(136 + code, scale, offset), rounded to bf16; offset is
// -(136 + zero point) scale. Without rounding in between where scales are f16 or bf16.
struct alignas(8) GroupEntry {
  float scale, offset;
};

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
  __device__ static uint32_t load(uint32_t first, int step, int below, int right) {
    const uint32_t at = (first ^ step << 4) + 8 * below * kRowBytes + 8 * right;
    uint16_t pair;
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(pair) : "r"(at));
    return pair;
  }
};

struct CodesI8 : Bytes {
  static constexpr MixedCode kCode = MixedCode::i8;
  // 128 + (code's low 7 bits) and 128 + (its sign bit) are bf16 whose last place is 1; their
  // difference is the code.
  __device__ static uint32_t widen(uint32_t pair, const GroupEntry&) {
    const uint32_t spread = __byte_perm(pair, 0, 0x4140);
    return subtract_bf16x2(masked_or<0x007f007f>(spread, 0x43004300),
                           masked_or<0x00800080>(spread, 0x43004300));
  }
};

struct CodesE4m3 : Bytes {
  static constexpr MixedCode kCode = MixedCode::e4m3;
  // Through f16 and f32, both exact; bf16 is the upper half of f32.
  __device__ static uint32_t widen(uint32_t pair, const GroupEntry&) {
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
  __device__ static uint32_t load(uint32_t first, int step, int below, int right) {
    const uint32_t at =
        (first ^ step >> 1 << 4) + 8 * below * kRowBytes + 8 * (step & 1) + 4 * right;
    uint32_t pair;
    asm volatile("ld.shared.u8 %0, [%1];" : "=r"(pair) : "r"(at));
    return pair;
  }
  // A code with its sign bit flipped is code + 8; 128 + that is a bf16 whose last place is 1, and
  // bf16 is the upper half of f32.
  __device__ static uint32_t widen(uint32_t pair, const GroupEntry& g) {
    const uint32_t values = masked_xor<0x000f000f>(pair * 0x1001, 0x43084308);
    const float low = fmaf(__uint_as_float(values << 16), g.scale, g.offset);
    const float high = fmaf(__uint_as_float(values & 0xffff0000u), g.scale, g.offset);
    uint32_t rounded;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(rounded) : "f"(high), "f"(low));
    return rounded;
  }
};

// A of the `step`-th product of a stage, of a block of 64 rows: as codes, then as values.
template <class Codes>
__device__ void load_step(uint32_t first, int step, uint32_t (&pairs)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) pairs[i] = Codes::load(first, step, i & 1, i >> 1);
}
template <class Codes>
__device__ void widen_step(const uint32_t (&pairs)[4], const GroupEntry (&groups)[2],
                           uint32_t (&a)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) a[i] = Codes::widen(pairs[i], groups[i & 1]);
}

}  // namespace octavo::cuda::sm90
