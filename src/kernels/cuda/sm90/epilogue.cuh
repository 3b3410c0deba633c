#pragma once
// From sums in registers to y in memory, a warp on its own: 16 rows in chunks of 32 or 64 columns,
// which go through shared memory (swizzled, free of bank conflicts) to the copy engine. Chunks of a
// residual come the same way, ahead of the sums.
#include <cuda_bf16.h>

#include <type_traits>

#include "kernels/cuda/sm90/instance.h"
#include "kernels/cuda/sm90/wgmma.cuh"

namespace octavo::cuda::sm90 {

// Types of y. Codes are those of the operands' element.
template <class Operand>
struct Codes {};
template <class Out>
struct OutInfo {
  static constexpr int kBytes = sizeof(Out);
  static constexpr bool kIsCodes = false;
};
template <class Operand>
struct OutInfo<Codes<Operand>> {
  static constexpr int kBytes = 1;
  static constexpr bool kIsCodes = true;
};

// 1 / x, accurate to a unit in the last place, and 2^x, to two; 0 where those underflow.
__device__ inline float reciprocal(float x) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
__device__ inline float exp2_of(float x) {
  float e;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(x));
  return e;
}
constexpr float kLog2E = 1.4426950408889634f;

// x / (1 + e^-x). -x log2(e) is not rounded where that would matter: its lower half multiplies.
__device__ inline float silu(float x) {
  const float power = -kLog2E * x;
  const float low = fabsf(power) < 126.0f ? fmaf(-kLog2E, x, -power) : 0.0f;
  return x * reciprocal(fmaf(exp2_of(power), fmaf(0.69314718f, low, 1.0f), 1.0f));
}
// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3); without cancellation.
__device__ inline float gelu_tanh(float x) {
  constexpr float kLinear = -2.0f * kLog2E * 0.7978845608028654f;
  constexpr float kCubic = kLinear * 0.044715f;
  return x * reciprocal(1.0f + exp2_of(x * fmaf(x * x, kCubic, kLinear)));
}
// 0.5 x erfc(-x / sqrt 2), with the Chebyshev fit of erfc in Numerical Recipes 6.2 (relative error
// below 1.2e-7 everywhere): erfc(z) = t exp(-z^2 + P(t)), t = 1 / (1 + z / 2), z >= 0.
__device__ inline float gelu(float x) {
  const float z = fabsf(x) * 0.70710678118654752f;
  const float t = reciprocal(fmaf(0.5f, z, 1.0f));
  float p = 0.17087277f;
  p = fmaf(p, t, -0.82215223f);
  p = fmaf(p, t, 1.48851587f);
  p = fmaf(p, t, -1.13520398f);
  p = fmaf(p, t, 0.27886807f);
  p = fmaf(p, t, -0.18628806f);
  p = fmaf(p, t, 0.09678418f);
  p = fmaf(p, t, 0.37409196f);
  p = fmaf(p, t, 1.00002368f);
  p = fmaf(p, t, -1.26551223f);
  const float tail = t * exp2_of(kLog2E * fmaf(-z, z, p));
  return 0.5f * x * (x < 0.0f ? tail : 2.0f - tail);
}

// v / scale, rounded to nearest, for a positive scale, without dividing: if r is the correctly
// rounded 1 / s and q within a unit in the last place of v / s, then q + r (v - q s) is correctly
// rounded (Markstein 1990) as long as nothing over- or underflows; q is v (r + r_low), rounded.
// Quotients beyond 2^16, which every format saturates, stay beyond. Scales that are so large or
// small that the remainder of a quotient >= 2^-12 could underflow are brought to 1 first, by a
// power of two; a v that underflows there has the code 0 anyway.
class Divider {
 public:
  __device__ explicit Divider(float scale) {
    const uint32_t exponent = max(__float_as_uint(scale) >> 23, 1u);
    if (exponent < 127 - 60 || exponent > 127 + 60) {
      power_ =
          exponent == 254 ? __uint_as_float(0x00400000) : __uint_as_float((254 - exponent) << 23);
    }
    scale_ = scale * power_;
    reciprocal_ = __frcp_rn(scale_);
    low_ = fmaf(-reciprocal_, scale_, 1.0f) * reciprocal_;
  }
  template <int kCount>
  __device__ void divide(float (&v)[kCount]) const {
    if (power_ != 1.0f) {
#pragma unroll
      for (float& x : v) x = x * power_;
    }
#pragma unroll
    for (float& x : v) {
      const float q = fminf(fmaxf(fmaf(x, reciprocal_, x * low_), -65536.0f), 65536.0f);
      x = fmaf(fmaf(-q, scale_, x), reciprocal_, q);
    }
  }

 private:
  float power_ = 1.0f, scale_, reciprocal_, low_;
};

__device__ inline uint16_t encode_pair(E4m3, float a, float b) {
  uint16_t codes;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(b), "f"(a));
  return codes;
}
// Adding 1.5 * 2^23 leaves the nearest integer (ties to even) in the lowest bits.
__device__ inline uint16_t encode_pair(I8, float a, float b) {
  constexpr float kRound = 12582912.0f;
  const float low = fminf(fmaxf(a, -128.0f), 127.0f), high = fminf(fmaxf(b, -128.0f), 127.0f);
  return static_cast<uint16_t>(
      __byte_perm(__float_as_uint(low + kRound), __float_as_uint(high + kRound), 0x0040));
}

__device__ inline uint32_t bf16_pair(float a, float b) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
  return reinterpret_cast<const uint32_t&>(pair);
}
// 8 values a thread, v[4j..4j+3] as Wgmma has them, to 16 columns, those of `part`, of a swizzled
// chunk in shared memory.
template <int kChunkCols>
__device__ void stage(__nv_bfloat16, const float (&v)[8], uint32_t chunk, int part, int lane) {
  const int row = lane & 15, unit = 2 * part + (lane >> 4);
  const uint32_t pairs[4] = {bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]), bf16_pair(v[4], v[5]),
                             bf16_pair(v[6], v[7])};
  store_matrices(chunk + row * 64 + ((unit ^ ((row >> 1) & 3)) << 4), pairs);
}
template <int kChunkCols>
__device__ void stage(float, const float (&v)[8], uint32_t chunk, int part, int lane) {
  const int row = lane >> 2;
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int unit = 4 * part + 2 * j + ((lane >> 1) & 1);
    const uint32_t at = chunk + row * 128 + ((unit ^ row) << 4) + (lane & 1) * 8;
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(at), "f"(v[4 * j]), "f"(v[4 * j + 1])
                 : "memory");
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(at + 8 * 128), "f"(v[4 * j + 2]),
                 "f"(v[4 * j + 3])
                 : "memory");
  }
}
template <int kChunkCols, class Operand>
__device__ void stage(Codes<Operand>, const float (&v)[8], uint32_t chunk, int part, int lane) {
  const int row = lane >> 2, unit = part ^ (kChunkCols == 64 ? (row >> 1) & 3 : (row >> 2) & 1);
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const uint32_t at = chunk + row * kChunkCols + (unit << 4) + j * 8 + (lane & 3) * 2;
    const uint16_t top = encode_pair(Operand{}, v[4 * j], v[4 * j + 1]);
    const uint16_t bottom = encode_pair(Operand{}, v[4 * j + 2], v[4 * j + 3]);
    asm volatile("st.shared.u16 [%0], %1;" ::"r"(at), "h"(top) : "memory");
    asm volatile("st.shared.u16 [%0], %1;" ::"r"(at + 8 * kChunkCols), "h"(bottom) : "memory");
  }
}

// What stage() would write, read back: a chunk of the residual.
__device__ inline void unstage(__nv_bfloat16, uint32_t chunk, int part, int lane, float (&v)[8]) {
  const int row = lane & 15, unit = 2 * part + (lane >> 4);
  uint32_t pairs[4];
  load_matrices(chunk + row * 64 + ((unit ^ ((row >> 1) & 3)) << 4), pairs);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    v[2 * i] = __uint_as_float(pairs[i] << 16);
    v[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
  }
}
__device__ inline void unstage(float, uint32_t chunk, int part, int lane, float (&v)[8]) {
  const int row = lane >> 2;
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int unit = 4 * part + 2 * j + ((lane >> 1) & 1);
    const uint32_t at = chunk + row * 128 + ((unit ^ row) << 4) + (lane & 1) * 8;
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(v[4 * j]), "=f"(v[4 * j + 1]) : "r"(at));
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
                 : "=f"(v[4 * j + 2]), "=f"(v[4 * j + 3])
                 : "r"(at + 8 * 128));
  }
}

// Scale, bias and gate of a tile's columns, in shared memory, with the scale of y.
template <int kN>
struct Columns {
  float scale[kN], bias[kN], gate[kN], out_scale, padding[3];
};

__device__ inline float load_one(const float* matrix, int64_t at) { return matrix[at]; }
__device__ inline float load_one(const __nv_bfloat16* matrix, int64_t at) {
  return __bfloat162float(matrix[at]);
}

__device__ inline float2 load_two(const float* pair) {
  return *reinterpret_cast<const float2*>(pair);
}
__device__ inline float2 load_two(const __nv_bfloat16* pair) {
  return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(pair));
}

// What a warp has to itself in shared memory: chunks on their way out, or of the residual on their
// way in, then out; and a barrier each for the latter.
struct WarpMemory {
  uint8_t* chunks;
  uint64_t* full;
};
constexpr int kMostChunks = 8;
// The most of `chunks`, which it divides, for which there is room.
constexpr int ring_of(int chunks, int room) {
  int ring = room < kMostChunks ? room : kMostChunks;
  while (chunks % ring != 0) --ring;
  return ring;
}

// The threads of a warp finish tile after tile, 16 rows each of kBlocks blocks of 64.
template <class Operand, int kN, int kBlocks, class Out, int kWarpBytes>
class WarpEpilogue {
 public:
  static constexpr int kChunkCols = chunk_cols(OutInfo<Out>::kBytes, kN);
  static constexpr int kChunkBytes = kWarpRows * kChunkCols * OutInfo<Out>::kBytes;
  static constexpr int kAcross = kN / kChunkCols, kChunks = kBlocks * kAcross;
  static constexpr int kRing = ring_of(kChunks, kWarpBytes / kChunkBytes);
  static_assert(kN % kChunkCols == 0);
  static constexpr bool kScaled = !std::is_same_v<Operand, Bf16>;
  static constexpr bool kIsCodes = OutInfo<Out>::kIsCodes;
  using Sums = typename Operand::Sum[kBlocks][kN / 2];

  __device__ WarpEpilogue(const Group& group, WarpMemory memory) : group_(group), memory_(memory) {}

  // The tile of that problem with the first block's rows from `row` on, the columns from `col`.
  __device__ void begin(int problem, int row, int col) {
    problem_ = problem, row_ = row, col_ = col;
    if constexpr (!kIsCodes) {
      if (!e().residual || lane() != 0) return;
      wait_stores_read<0>();
#pragma unroll
      for (int i = 0; i < kRing; ++i) fetch_residual(i);
    }
  }

  // gate_row: the row of gate that is in the columns.
  __device__ void finish(const Sums& sums, const Columns<kN>& columns, int gate_row) {
    const Epilogue& e = this->e();
    if constexpr (kIsCodes) {
      divider_ = Divider(columns.out_scale);
    } else {
      one_gate_ = true;
      if (e.gate) {
        const int last = min(row_ + 64 * (kBlocks - 1) + kWarpRows, p().m) - 1;
        one_gate_ = row_ / e.rows_per_sample == gate_row && last / e.rows_per_sample == gate_row;
      }
    }
    if (lane() == 0) wait_stores_read<0>();
    __syncwarp();
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      if (row_ + 64 * block >= p().m) break;
      begin_block(block);
#pragma unroll
      for (int c = 0; c < kAcross; ++c) finish_chunk(sums[block], columns, block * kAcross + c);
    }
  }

 private:
  using BlockSums = typename Operand::Sum[kN / 2];
  using Side = std::conditional_t<kIsCodes, float, Out>;  // gate's and residual's

  __device__ const Problem& p() const { return group_.problems[problem_]; }
  __device__ const Epilogue& e() const { return p().epilogue; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ int row_of(int chunk) const { return row_ + 64 * (chunk / kAcross); }
  __device__ int col_of(int chunk) const { return col_ + kChunkCols * (chunk % kAcross); }

  __device__ void begin_block(int block) {
    const int row = row_ + 64 * block + lane() / 4;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int r = min(row + 8 * i, p().m - 1);
      if constexpr (kScaled) {
        x_by_row_ = e().x_by_row;
        if (x_by_row_) row_scale_[i] = e().x_scale[r];
      }
      if (!kIsCodes && !one_gate_) gate_rows_[i] = r / e().rows_per_sample;
    }
  }

  // Into its slot, whose last contents are gone; nothing where no part of it is y's.
  __device__ void fetch_residual(int chunk) {
    if (row_of(chunk) >= p().m || col_of(chunk) >= p().n) return;
    const int slot = chunk % kRing;
    barrier_expect(memory_.full + slot, kChunkBytes);
    load_box(memory_.chunks + slot * kChunkBytes, &p().residual, memory_.full + slot, col_of(chunk),
             row_of(chunk));
  }

  // What is to be in the slot before y's chunk.
  __device__ void wait_for_slot(int chunk, bool adds) {
    const int slot = chunk % kRing;
    if (adds) {
      barrier_wait(memory_.full + slot, (parities_ >> slot) & 1);
      parities_ ^= 1u << slot;
    } else if (chunk >= kRing) {
      if (lane() == 0) wait_stores_read<kRing - 1>();
      __syncwarp();
    }
  }
  // Once the store before this one has left its slot, the residual's next chunk can go there.
  __device__ void refetch(int chunk) {
    if constexpr (kRing == 1) {
      if (chunk + 1 == kChunks) return;
      wait_stores_read<0>();
      fetch_residual(chunk + 1);
    } else {
      if (chunk == 0 || chunk - 1 + kRing >= kChunks) return;
      wait_stores_read<1>();
      fetch_residual(chunk - 1 + kRing);
    }
  }

  // 16 columns at a time: few registers are left beside the sums.
  __device__ void finish_chunk(const BlockSums& sums, const Columns<kN>& columns, int chunk) {
    uint8_t* memory = memory_.chunks + chunk % kRing * kChunkBytes;
    const bool adds = !kIsCodes && e().residual, exists = col_of(chunk) < p().n;
    if (exists) {
      wait_for_slot(chunk, adds);
#pragma unroll
      for (int part = 0; part < kChunkCols / 16; ++part) {
        finish_part(sums, columns, chunk, part, adds, memory);
      }
      fence_async_proxy();
      __syncwarp();
    }
    if (lane() == 0) {
      if (exists) store_box(&p().y, memory, col_of(chunk), row_of(chunk));
      commit_stores();
      if (adds) refetch(chunk);
    }
  }

  __device__ void finish_part(const BlockSums& sums, const Columns<kN>& columns, int chunk,
                              int part, bool adds, uint8_t* memory) {
    const int at = chunk % kAcross * kChunkCols + 16 * part;
    float v[8];
    scale(sums, columns, at, v);
    activate(v);
    if constexpr (kIsCodes) {
      quantize(v);
    } else {
      if (e().gate) apply_gate(columns, at, v);
      if (adds) {
        float r[8];
        unstage(Out{}, shared_address(memory), part, lane(), r);
#pragma unroll
        for (int i = 0; i < 8; ++i) v[i] += r[i];
        __syncwarp();
      }
    }
    stage<kChunkCols>(Out{}, v, shared_address(memory), part, lane());
  }

  __device__ void scale(const BlockSums& sums, const Columns<kN>& columns, int at,
                        float (&v)[8]) const {
#pragma unroll
    for (int i = 0; i < 8; ++i) v[i] = static_cast<float>(sums[at / 2 + i]);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int col = at + 8 * j + 2 * (lane() & 3);
      if constexpr (kScaled) {
        const float2 s = *reinterpret_cast<const float2*>(columns.scale + col);
        float2 top = s, bottom = s;
        if (x_by_row_) {
          top = {row_scale_[0] * s.x, row_scale_[0] * s.y};
          bottom = {row_scale_[1] * s.x, row_scale_[1] * s.y};
        }
        v[4 * j] *= top.x, v[4 * j + 1] *= top.y;
        v[4 * j + 2] *= bottom.x, v[4 * j + 3] *= bottom.y;
      }
      const float2 b = *reinterpret_cast<const float2*>(columns.bias + col);
      v[4 * j] += b.x, v[4 * j + 1] += b.y;
      v[4 * j + 2] += b.x, v[4 * j + 3] += b.y;
    }
  }

  __device__ void activate(float (&v)[8]) const {
    const Activation activation = e().activation;
    if (activation == Activation::gelu_tanh) {
#pragma unroll
      for (float& x : v) x = gelu_tanh(x);
    }
    if constexpr (has_all_activations(kN)) {
      if (activation == Activation::silu) {
#pragma unroll
        for (float& x : v) x = silu(x);
      } else if (activation == Activation::gelu) {
#pragma unroll
        for (float& x : v) x = gelu(x);
      }
    }
  }

  __device__ void quantize(float (&v)[8]) const {
    divider_.divide(v);
    if constexpr (std::is_same_v<Operand, I8>) {
      bool nan = false;
#pragma unroll
      for (const float x : v) nan |= isnan(x);
      if (nan && e().not_finite) *e().not_finite = 1;
    }
  }

  __device__ void apply_gate(const Columns<kN>& columns, int at, float (&v)[8]) const {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int col = at + 8 * j + 2 * (lane() & 3);
      float2 top, bottom;
      if (one_gate_) {
        top = bottom = *reinterpret_cast<const float2*>(columns.gate + col);
      } else {
        const auto* gate = static_cast<const Side*>(e().gate) + min(col_ + col, p().n - 2);
        top = load_two(gate + int64_t{gate_rows_[0]} * p().n);
        bottom = load_two(gate + int64_t{gate_rows_[1]} * p().n);
      }
      v[4 * j] *= top.x, v[4 * j + 1] *= top.y;
      v[4 * j + 2] *= bottom.x, v[4 * j + 3] *= bottom.y;
    }
  }

  const Group& group_;
  WarpMemory memory_;
  int problem_ = 0, row_ = 0, col_ = 0;
  uint32_t parities_ = 0;  // of the slots' barriers
  // While a tile is finished:
  bool x_by_row_ = false;
  bool one_gate_ = true;  // the warp's rows share a row of gate
  Divider divider_{1.0f};
  float row_scale_[2] = {};
  int gate_rows_[2] = {};  // where they do not
};

}  // namespace octavo::cuda::sm90
