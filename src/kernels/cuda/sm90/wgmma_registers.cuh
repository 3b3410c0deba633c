#pragma once
// Warpgroup products of bf16 whose A comes from registers: D[64, N] += A[64, 16] B[N, 16]^T, B and
// D as in wgmma.cuh. Of A, thread t of the warpgroup holds, with row = 16 (t / 32) + (t % 32) / 4
// and col = 2 (t % 4), each as a pair of columns:
//   a[0]: (row, col), a[1]: (row + 8, col), a[2]: (row, col + 8), a[3]: (row + 8, col + 8).
#include "kernels/cuda/sm90/wgmma.cuh"

namespace octavo::cuda::sm90 {

// d += a b, or d = a b where accumulate is 0.
template <int kN>
struct WgmmaRegisters;

#define OCTAVO_R8(i)                                                                          \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define OCTAVO_R16(i) OCTAVO_R8(i), OCTAVO_R8(i + 8)
#define OCTAVO_R32(i) OCTAVO_R16(i), OCTAVO_R16(i + 16)
#define OCTAVO_R64 OCTAVO_R32(0), OCTAVO_R32(32)
#define OCTAVO_R80 OCTAVO_R64, OCTAVO_R16(64)
#define OCTAVO_R88 OCTAVO_R80, OCTAVO_R8(80)
#define OCTAVO_R96 OCTAVO_R64, OCTAVO_R32(64)
#define OCTAVO_R112 OCTAVO_R96, OCTAVO_R16(96)
#define OCTAVO_R128 OCTAVO_R96, OCTAVO_R32(96)
#define OCTAVO_T32                                         \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15," \
  "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define OCTAVO_T64                                                    \
  OCTAVO_T32                                                          \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
  "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define OCTAVO_T80 \
  OCTAVO_T64       \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"
#define OCTAVO_T88 \
  OCTAVO_T80       \
  ",%80,%81,%82,%83,%84,%85,%86,%87"
#define OCTAVO_T96                                                    \
  OCTAVO_T64                                                          \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79," \
  "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define OCTAVO_T112 \
  OCTAVO_T96        \
  ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111"
#define OCTAVO_T128 \
  OCTAVO_T112       \
  ",%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"

// A, B, P: the placeholders behind those of D.
#define OCTAVO_WGMMA_REGISTERS(N, TEXT, D, PLACES, A, B, P)                                       \
  template <>                                                                                     \
  struct WgmmaRegisters<N> {                                                                      \
    __device__ static void run(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b,             \
                               int accumulate) {                                                  \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " P                                          \
                   ", 0;\n"                                                                       \
                   "wgmma.mma_async.sync.aligned.m64n" TEXT "k16.f32.bf16.bf16 {" PLACES "}, {" A \
                   "}, " B ", p, 1, 1, 0;\n}"                                                     \
                   : D                                                                            \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));        \
    }                                                                                             \
  };
OCTAVO_WGMMA_REGISTERS(64, "64", OCTAVO_R32(0), OCTAVO_T32, "%32,%33,%34,%35", "%36", "%37")
OCTAVO_WGMMA_REGISTERS(128, "128", OCTAVO_R64, OCTAVO_T64, "%64,%65,%66,%67", "%68", "%69")
OCTAVO_WGMMA_REGISTERS(160, "160", OCTAVO_R80, OCTAVO_T80, "%80,%81,%82,%83", "%84", "%85")
OCTAVO_WGMMA_REGISTERS(176, "176", OCTAVO_R88, OCTAVO_T88, "%88,%89,%90,%91", "%92", "%93")
OCTAVO_WGMMA_REGISTERS(192, "192", OCTAVO_R96, OCTAVO_T96, "%96,%97,%98,%99", "%100", "%101")
OCTAVO_WGMMA_REGISTERS(224, "224", OCTAVO_R112, OCTAVO_T112, "%112,%113,%114,%115", "%116", "%117")
OCTAVO_WGMMA_REGISTERS(256, "256", OCTAVO_R128, OCTAVO_T128, "%128,%129,%130,%131", "%132", "%133")

#undef OCTAVO_WGMMA_REGISTERS
#undef OCTAVO_T128
#undef OCTAVO_T112
#undef OCTAVO_T96
#undef OCTAVO_T88
#undef OCTAVO_T80
#undef OCTAVO_T64
#undef OCTAVO_T32
#undef OCTAVO_R128
#undef OCTAVO_R112
#undef OCTAVO_R96
#undef OCTAVO_R88
#undef OCTAVO_R80
#undef OCTAVO_R64
#undef OCTAVO_R32
#undef OCTAVO_R16
#undef OCTAVO_R8

}  // namespace octavo::cuda::sm90
