#pragma once
// From sums in registers to y in memory, a warp on its own: 16 rows in chunks of 32 columns, which
// go through shared memory (swizzled, free of bank conflicts) to the copy engine.
#include <cuda_bf16.h>

#include <type_traits>

#include "kernels/cuda/sm90/instance.h"
#include "kernels/cuda/sm90/wgmma.cuh"

namespace octavo::cuda::sm90 {

constexpr int kWarpStaging = 2048;  // bytes of a warp: as many chunks in flight as fit

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
// Two neighbours of a matrix of y's type, as loaded and as values.
template <class Out>
struct Pair {
  float2 raw;
  __device__ float2 get() const { return raw; }
};
template <>
struct Pair<__nv_bfloat16> {
  __nv_bfloat162 raw;
  __device__ float2 get() const { return __bfloat1622float2(raw); }
};
template <class Out>
__device__ Pair<Out> load_pair(const void* matrix, int64_t at) {
  return *reinterpret_cast<const Pair<Out>*>(static_cast<const Out*>(matrix) + at);
}

// 8 values a thread, v[4j..4j+3] as Wgmma has them, to half `half` of the columns of a swizzled
// chunk [16, 32] in shared memory.
__device__ inline void stage(__nv_bfloat16, const float (&v)[8], uint32_t chunk, int half,
                             int lane) {
  const int row = lane & 15, unit = 2 * half + (lane >> 4);
  const uint32_t pairs[4] = {bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]), bf16_pair(v[4], v[5]),
                             bf16_pair(v[6], v[7])};
  store_matrices(chunk + row * 64 + ((unit ^ ((row >> 1) & 3)) << 4), pairs);
}
__device__ inline void stage(float, const float (&v)[8], uint32_t chunk, int half, int lane) {
  const int row = lane >> 2;
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int unit = 4 * half + 2 * j + ((lane >> 1) & 1);
    const uint32_t at = chunk + row * 128 + ((unit ^ row) << 4) + (lane & 1) * 8;
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(at), "f"(v[4 * j]), "f"(v[4 * j + 1])
                 : "memory");
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(at + 8 * 128), "f"(v[4 * j + 2]),
                 "f"(v[4 * j + 3])
                 : "memory");
  }
}
template <class Operand>
__device__ void stage(Codes<Operand>, const float (&v)[8], uint32_t chunk, int half, int lane) {
  const int row = lane >> 2;
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const uint32_t at =
        chunk + row * 32 + ((half ^ ((row >> 2) & 1)) << 4) + j * 8 + (lane & 3) * 2;
    const uint16_t top = encode_pair(Operand{}, v[4 * j], v[4 * j + 1]);
    const uint16_t bottom = encode_pair(Operand{}, v[4 * j + 2], v[4 * j + 3]);
    asm volatile("st.shared.u16 [%0], %1;" ::"r"(at), "h"(top) : "memory");
    asm volatile("st.shared.u16 [%0], %1;" ::"r"(at + 8 * 32), "h"(bottom) : "memory");
  }
}

// Scale and bias of a tile's columns, in shared memory.
template <int kN>
struct Columns {
  float scale[kN], bias[kN];
};

// The threads of a warp finish tile after tile, 16 rows each of kBlocks blocks of 64.
template <class Operand, int kN, int kBlocks, class Out>
class WarpEpilogue {
 public:
  static constexpr int kChunkBytes = kWarpRows * kChunkCols * OutInfo<Out>::kBytes;
  static constexpr int kRing = kWarpStaging / kChunkBytes;
  static constexpr bool kScaled = !std::is_same_v<Operand, Bf16>;
  using Sums = typename Operand::Sum[kBlocks][kN / 2];

  __device__ WarpEpilogue(const Epilogue& e, const CUtensorMap* map, int m, int n, uint8_t* staging)
      : e_(e),
        map_(map),
        m_(m),
        n_(n),
        staging_(staging),
        lane_(static_cast<int>(threadIdx.x) % 32),
        divider_(OutInfo<Out>::kIsCodes ? *e.out_scale : 1.0f) {}

  // Of the first block's rows from `row` on and the columns from `col`.
  __device__ void begin(int row, int col) {
    row_ = row, col_ = col;
    if constexpr (kScaled) {
      if (!e_.x_by_row) return;
#pragma unroll
      for (int i = 0; i < 2 * kBlocks; ++i) {
        const int r = row_ + lane_ / 4 + i / 2 * 64 + i % 2 * 8;
        row_scale_[i] = r < m_ ? e_.x_scale[r] : 0.0f;
      }
    }
  }

  __device__ void finish(const Sums& sums, const Columns<kN>& columns) {
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      if (row_ + 64 * block >= m_) break;
#pragma unroll
      for (int c = 0; c < kN / kChunkCols; ++c) {
        if (col_ + c * kChunkCols >= n_) break;
        finish_chunk(sums[block], columns, block, c);
      }
    }
  }

 private:
  using BlockSums = typename Operand::Sum[kN / 2];

  // Half a chunk at a time: few registers are left beside the sums.
  __device__ void finish_chunk(const BlockSums& sums, const Columns<kN>& columns, int block,
                               int c) {
    uint8_t* chunk = staging_ + slot_ * kChunkBytes;
    slot_ = slot_ + 1 == kRing ? 0 : slot_ + 1;
    if (lane_ == 0) wait_stores_read<kRing - 1>();
    __syncwarp();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float v[8];
      finish_half(sums, columns, block, c * kChunkCols + 16 * half, v);
      stage(Out{}, v, shared_address(chunk), half, lane_);
    }
    fence_async_proxy();
    __syncwarp();
    if (lane_ == 0) {
      store_box(map_, chunk, col_ + c * kChunkCols, row_ + 64 * block);
      commit_stores();
    }
  }

  // The 16 columns of the tile from `at` on.
  __device__ void finish_half(const BlockSums& sums, const Columns<kN>& columns, int block, int at,
                              float (&v)[8]) {
    if constexpr (OutInfo<Out>::kIsCodes) {
      scale(sums, columns, block, at, v);
      activate(v);
      quantize(v);
    } else {
      Pair<Out> residual[4];  // fetched while the rest is computed
      if (e_.residual) load_side(e_.residual, block, at, false, residual);
      scale(sums, columns, block, at, v);
      activate(v);
      if (e_.gate) {
        Pair<Out> gate[4];
        load_side(e_.gate, block, at, true, gate);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          v[2 * i] *= gate[i].get().x, v[2 * i + 1] *= gate[i].get().y;
        }
      }
      if (e_.residual) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          v[2 * i] += residual[i].get().x, v[2 * i + 1] += residual[i].get().y;
        }
      }
    }
  }

  __device__ void scale(const BlockSums& sums, const Columns<kN>& columns, int block, int at,
                        float (&v)[8]) const {
#pragma unroll
    for (int i = 0; i < 8; ++i) v[i] = static_cast<float>(sums[at / 2 + i]);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int col = at + 8 * j + 2 * (lane_ & 3);
      if constexpr (kScaled) {
        const float2 s = *reinterpret_cast<const float2*>(columns.scale + col);
        float2 top = s, bottom = s;
        if (e_.x_by_row) {
          const float t = row_scale_[2 * block], b = row_scale_[2 * block + 1];
          top = {t * s.x, t * s.y}, bottom = {b * s.x, b * s.y};
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
    if (e_.activation == Activation::gelu_tanh) {
#pragma unroll
      for (float& x : v) x = gelu_tanh(x);
    }
    if constexpr (has_all_activations(kN)) {
      if (e_.activation == Activation::silu) {
#pragma unroll
        for (float& x : v) x = silu(x);
      } else if (e_.activation == Activation::gelu) {
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
      if (nan && e_.not_finite) *e_.not_finite = 1;
    }
  }

  // pairs[2 j + half]: row + 8 half, columns 8 j and the next; by_sample: one row a sample.
  template <class T>
  __device__ void load_side(const void* matrix, int block, int first_col, bool by_sample,
                            Pair<T> (&pairs)[4]) const {
    const int col = col_ + first_col + 2 * (lane_ & 3);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      int row = min(row_ + 64 * block + lane_ / 4 + 8 * half, m_ - 1);
      if (by_sample) row = row / e_.rows_per_sample;
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int at = min(col + 8 * j, n_ - 2);  // what lies beyond is not stored
        pairs[2 * j + half] = load_pair<T>(matrix, int64_t{row} * n_ + at);
      }
    }
  }

  const Epilogue& e_;
  const CUtensorMap* map_;
  int m_, n_, row_ = 0, col_ = 0;
  uint8_t* staging_;
  int lane_, slot_ = 0;
  Divider divider_;
  float row_scale_[2 * kBlocks] = {};
};

}  // namespace octavo::cuda::sm90
