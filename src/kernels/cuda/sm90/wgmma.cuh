#pragma once
// Warpgroup products: D[64, N] += A[64, 32 bytes] B[N, 32 bytes]^T, both operands in shared memory,
// K-major, rows of 128 bytes in the 128-byte swizzle. Thread t of the warpgroup holds of D, with
// row = 16 (t / 32) + (t % 32) / 4 and col = 2 (t % 4):
//   d[4j], d[4j + 1]: (row, 8j + col), (row, 8j + col + 1); d[4j + 2], d[4j + 3]: those of row + 8.
#include <cstdint>

#include "kernels/cuda/sm90/ptx.cuh"

namespace octavo::cuda::sm90 {

// Element types of the operands, with their sums' type.
struct Bf16 {
  using Sum = float;
  static constexpr int kBytes = 2;
};
struct E4m3 {
  using Sum = float;
  static constexpr int kBytes = 1;
};
struct I8 {
  using Sum = int32_t;
  static constexpr int kBytes = 1;
};

// Where a tile of 128-byte rows begins; 8 rows (1024 bytes) repeat the swizzle. Adding 2 moves 32
// bytes along K.
__device__ inline uint32_t matrix_descriptor_low(const void* tile) {
  constexpr uint32_t kLeading = 1;
  return kLeading << 16 | (shared_address(tile) & 0x3ffff) >> 4;
}
__device__ inline uint64_t matrix_descriptor(uint32_t low) {
  constexpr uint64_t kSwizzle128 = 1ull << 62, kStride = 1024 / 16;
  return kSwizzle128 | kStride << 32 | low;
}
__device__ inline uint64_t matrix_descriptor(const void* tile) {
  return matrix_descriptor(matrix_descriptor_low(tile));
}

// Registers that ordinary code wrote are ready for the products that follow.
__device__ inline void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void products_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until at most kPending committed groups run.
template <int kPending>
__device__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// d += a b, or d = a b where accumulate is 0.
template <class Element, int kN>
struct Wgmma;

#define OCTAVO_D8(C, i) \
  C(d[i]), C(d[i + 1]), C(d[i + 2]), C(d[i + 3]), C(d[i + 4]), C(d[i + 5]), C(d[i + 6]), C(d[i + 7])
#define OCTAVO_D32(C, i) \
  OCTAVO_D8(C, i), OCTAVO_D8(C, i + 8), OCTAVO_D8(C, i + 16), OCTAVO_D8(C, i + 24)
#define OCTAVO_D64(C) OCTAVO_D32(C, 0), OCTAVO_D32(C, 32)
#define OCTAVO_D96(C) OCTAVO_D64(C), OCTAVO_D32(C, 64)
#define OCTAVO_D112(C) OCTAVO_D96(C), OCTAVO_D8(C, 96), OCTAVO_D8(C, 104)
#define OCTAVO_D128(C) OCTAVO_D96(C), OCTAVO_D32(C, 96)
#define OCTAVO_P32                                                                         \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23," \
  "%24,%25,%26,%27,%28,%29,%30,%31"
#define OCTAVO_P48 OCTAVO_P32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define OCTAVO_P64                                                                        \
  OCTAVO_P32                                                                              \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52," \
  "%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define OCTAVO_P96                                                                        \
  OCTAVO_P64                                                                              \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84," \
  "%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define OCTAVO_P112 \
  OCTAVO_P96        \
  ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111"
#define OCTAVO_P128 \
  OCTAVO_P112       \
  ",%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"

// A, B, P: the placeholders behind those of D.
#define OCTAVO_WGMMA(ELEMENT, N, SHAPE, C, D, PLACES, A, B, P, FLAGS)                              \
  template <>                                                                                      \
  struct Wgmma<ELEMENT, N> {                                                                       \
    __device__ static void run(ELEMENT::Sum (&d)[N / 2], uint64_t a, uint64_t b, int accumulate) { \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " P                                           \
                   ", 0;\n"                                                                        \
                   "wgmma.mma_async.sync.aligned." SHAPE " {" PLACES "}, " A ", " B ", p" FLAGS    \
                   ";\n}"                                                                          \
                   : D                                                                             \
                   : "l"(a), "l"(b), "r"(accumulate));                                             \
    }                                                                                              \
  };
#define OCTAVO_WGMMA_TYPES(N, TEXT, D, PLACES, A, B, P)                                            \
  OCTAVO_WGMMA(Bf16, N, "m64n" TEXT "k16.f32.bf16.bf16", "+f", D("+f"), PLACES, A, B, P,           \
               ", 1, 1, 0, 0")                                                                     \
  OCTAVO_WGMMA(E4m3, N, "m64n" TEXT "k32.f32.e4m3.e4m3", "+f", D("+f"), PLACES, A, B, P, ", 1, 1") \
  OCTAVO_WGMMA(I8, N, "m64n" TEXT "k32.s32.s8.s8", "+r", D("+r"), PLACES, A, B, P, "")

#define OCTAVO_D32_0(C) OCTAVO_D32(C, 0)
OCTAVO_WGMMA_TYPES(64, "64", OCTAVO_D32_0, OCTAVO_P32, "%32", "%33", "%34")
#define OCTAVO_D48(C) OCTAVO_D32(C, 0), OCTAVO_D8(C, 32), OCTAVO_D8(C, 40)
OCTAVO_WGMMA_TYPES(96, "96", OCTAVO_D48, OCTAVO_P48, "%48", "%49", "%50")
OCTAVO_WGMMA_TYPES(128, "128", OCTAVO_D64, OCTAVO_P64, "%64", "%65", "%66")
OCTAVO_WGMMA_TYPES(192, "192", OCTAVO_D96, OCTAVO_P96, "%96", "%97", "%98")
OCTAVO_WGMMA_TYPES(224, "224", OCTAVO_D112, OCTAVO_P112, "%112", "%113", "%114")
OCTAVO_WGMMA_TYPES(256, "256", OCTAVO_D128, OCTAVO_P128, "%128", "%129", "%130")

#undef OCTAVO_WGMMA_TYPES
#undef OCTAVO_WGMMA
#undef OCTAVO_D48
#undef OCTAVO_D32_0
#undef OCTAVO_D128
#undef OCTAVO_D112
#undef OCTAVO_D96
#undef OCTAVO_D64
#undef OCTAVO_D32
#undef OCTAVO_D8
#undef OCTAVO_P128
#undef OCTAVO_P112
#undef OCTAVO_P96
#undef OCTAVO_P64
#undef OCTAVO_P48
#undef OCTAVO_P32

}  // namespace octavo::cuda::sm90
