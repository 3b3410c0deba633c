#pragma once
// The two warp-group products of attention on sm_90a, 16-bit operands and f32 sums:
//   scores: d[64][keys] (+)= q[64][16] k[keys][16]^T, both from shared memory, depth innermost
//   values: d[64][depth] += p[64][16] v[16][depth], p from registers, v with depth innermost
// Shared memory is in the 128-byte swizzle that the copy engine writes: columns of 64 elements, in
// each of which a row takes 128 bytes. Thread t of a warp holds d[i * 4 + 2 r + c] of row t / 4 +
// 8 r, column 8 i + 2 (t % 4) + c; p has that layout too, two columns packed in a word.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/sm90/wgmma.cuh"

namespace octavo::cuda::sm90 {

// Where an operand starts; `group` is the distance in bytes between columns of 64 elements, read
// only where those are along the product's own axis (v).
__device__ inline uint64_t swizzled_operand(uint32_t address, uint32_t group) {
  constexpr uint64_t kSwizzle128 = 1ull << 62, kEightRows = 1024 >> 4;
  return kSwizzle128 | kEightRows << 32 | uint64_t{group >> 4} << 16 | (address & 0x3ffff) >> 4;
}

// The compiler may not move what reads or writes these values across this point.
template <int kCount>
__device__ inline void pin(float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(values[i])::"memory");
}

#define OCTAVO_AD8(d, i)                                                                \
  "+f"(d[(i)]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3]), "+f"(d[(i) + 4]), \
      "+f"(d[(i) + 5]), "+f"(d[(i) + 6]), "+f"(d[(i) + 7])
#define OCTAVO_AD32(d) OCTAVO_AD8(d, 0), OCTAVO_AD8(d, 8), OCTAVO_AD8(d, 16), OCTAVO_AD8(d, 24)
#define OCTAVO_AD64(d) \
  OCTAVO_AD32(d), OCTAVO_AD8(d, 32), OCTAVO_AD8(d, 40), OCTAVO_AD8(d, 48), OCTAVO_AD8(d, 56)
#define OCTAVO_AD80(d) OCTAVO_AD64(d), OCTAVO_AD8(d, 64), OCTAVO_AD8(d, 72)
#define OCTAVO_AD88(d) OCTAVO_AD80(d), OCTAVO_AD8(d, 80)
#define OCTAVO_AN32                                                \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17," \
  "%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define OCTAVO_AN64                                                           \
  OCTAVO_AN32                                                                 \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49," \
  "%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define OCTAVO_AN80 OCTAVO_AN64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"
#define OCTAVO_AN88 OCTAVO_AN80 ",%80,%81,%82,%83,%84,%85,%86,%87"

template <class T, int kKeys>
struct ScoresProduct;
template <class T, int kDepth>
struct ValuesProduct;

// d_regs, then the operands' numbers in the text: q, k, whether to add to d.
#define OCTAVO_SCORES(type, text, keys, regs, q_at, k_at, add_at)                           \
  template <>                                                                               \
  struct ScoresProduct<type, keys> {                                                        \
    __device__ static void run(float (&d)[regs], uint64_t q, uint64_t k, int add) {         \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_at                               \
                   ", 0;\nwgmma.mma_async.sync.aligned.m64n" #keys "k16.f32." text "." text \
                   " {" OCTAVO_AN##regs "}, " q_at ", " k_at ", p, 1, 1, 0, 0;\n}"          \
                   : OCTAVO_AD##regs(d)                                                     \
                   : "l"(q), "l"(k), "r"(add));                                             \
    }                                                                                       \
  };
#define OCTAVO_VALUES(type, text, depth, regs, p0, p1, p2, p3, v_at)                              \
  template <>                                                                                     \
  struct ValuesProduct<type, depth> {                                                             \
    __device__ static void run(float (&d)[regs], const uint32_t* p, uint64_t v) {                 \
      asm volatile("wgmma.mma_async.sync.aligned.m64n" #depth "k16.f32." text "." text            \
                   " {" OCTAVO_AN##regs "}, {" p0 "," p1 "," p2 "," p3 "}, " v_at ", 1, 1, 1, 1;" \
                   : OCTAVO_AD##regs(d)                                                           \
                   : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v));                         \
    }                                                                                             \
  };
#define OCTAVO_PRODUCTS(type, text)                                    \
  OCTAVO_SCORES(type, text, 128, 64, "%64", "%65", "%66")              \
  OCTAVO_SCORES(type, text, 160, 80, "%80", "%81", "%82")              \
  OCTAVO_SCORES(type, text, 176, 88, "%88", "%89", "%90")              \
  OCTAVO_VALUES(type, text, 64, 32, "%32", "%33", "%34", "%35", "%36") \
  OCTAVO_VALUES(type, text, 128, 64, "%64", "%65", "%66", "%67", "%68")

// e4m3: k is 32, and v's keys are innermost.
template <>
struct ValuesProduct<E4m3, 128> {
  __device__ static void run(float (&d)[64], const uint32_t* p, uint64_t v) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 {" OCTAVO_AN64
                 "}, {%64, %65, %66, %67}, %68, 1, 1, 1;"
                 : OCTAVO_AD64(d)
                 : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v));
  }
};

OCTAVO_PRODUCTS(__nv_bfloat16, "bf16")
OCTAVO_PRODUCTS(__half, "f16")

#undef OCTAVO_AD8
#undef OCTAVO_AD32
#undef OCTAVO_AD64
#undef OCTAVO_AD80
#undef OCTAVO_AD88
#undef OCTAVO_AN32
#undef OCTAVO_AN64
#undef OCTAVO_AN80
#undef OCTAVO_AN88
#undef OCTAVO_SCORES
#undef OCTAVO_VALUES
#undef OCTAVO_PRODUCTS

}  // namespace octavo::cuda::sm90
