#pragma once
// The kernel of norm_modulate.cu for rows of the usual kind: one or two warps, a team, hold a row
// and one sample's parameters in registers, while their next row is on its way to shared memory.
#include "kernels/cuda/out_quant.cuh"
#include "kernels/cuda/row.cuh"
#include "kernels/cuda/row_norm.cuh"

namespace octavo::cuda::modulate {

constexpr int kMostJobs = 4;
constexpr int kWarps = 4;             // of a block
constexpr int kVec = 8;               // elements of 16 bytes
constexpr int kPackCols = 32 * kVec;  // what a warp reads at once

// Registers allow as many.
constexpr int blocks_a_processor(int packs) { return packs > 3 ? 4 : 5; }

// One call of a launch.
struct Job {
  const void *x, *gain, *offset;
  void* y;             // rows of x's type, or codes
  const float* given;  // the scale of all codes; nullptr: each row finds its own
  float* scale;
  int rows_end;  // rows of the jobs up to this one
  int rows_per_gain, rows_per_offset;
};
struct Jobs {
  float eps, cols_float, cols_reciprocal, top;
  uint32_t* not_finite;
  Job job[kMostJobs];
};
struct Place {
  int job, row, first;  // row: of the job, which begins at row `first` of the launch
};
__device__ inline Place find(const Jobs& n, int row) {
  Place at = {0, row, 0};
  while (row >= n.job[at.job].rows_end) at.first = n.job[at.job++].rows_end;
  at.row = row - at.first;
  return at;
}

// 16 bytes into shared memory.
__device__ inline void copy_ahead(uint4* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(to))),
               "l"(from)
               : "memory");
}
__device__ inline void await_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// What the warps of a row tell each other, through shared memory. Used in turns, each once a row.
template <int kTeam>
struct Slots {
  float of[kWarps];

  template <class Op>
  __device__ float reduce(float v) {
    v = reduce_lanes<Op>(v);
    if constexpr (kTeam == 1) return v;
    const int warp = static_cast<int>(threadIdx.x / 32), first = warp / kTeam * kTeam;
    if (threadIdx.x % 32 == 0) of[warp] = v;
    asm volatile("bar.sync %0, %1;" ::"r"(1 + warp / kTeam), "n"(kTeam * 32) : "memory");
    float all = of[first];
#pragma unroll
    for (int w = 1; w < kTeam; ++w) all = Op::of(all, of[first + w]);
    return all;
  }
};

// kPacks x 8 elements of a row a lane.
template <int kPacks>
struct PartOfRow {
  float v[kPacks][kVec];

  __device__ float sum() const {
    float sum = 0;
#pragma unroll
    for (const auto& pack : v) sum += sum_of(pack);
    return sum;
  }
  // Subtracts the mean; the sum of squares is what is returned.
  __device__ float centre(float mean) {
    float squares[2] = {0, 0};
#pragma unroll
    for (auto& pack : v) {
#pragma unroll
      for (int i = 0; i < kVec; ++i) {
        pack[i] -= mean;
        squares[i % 2] = fmaf(pack[i], pack[i], squares[i % 2]);
      }
    }
    return squares[0] + squares[1];
  }
  __device__ float largest() const {
    float most[2] = {0, 0};
#pragma unroll
    for (const auto& pack : v) {
#pragma unroll
      for (int i = 0; i < kVec; ++i) most[i % 2] = Largest::of(most[i % 2], magnitude(pack[i]));
    }
    return Largest::of(most[0], most[1]);
  }
};

// Eight codes of one scale.
template <DType kFormat>
__device__ uint2 encode8(NearEncoder<kFormat>& encoder, const float (&v)[kVec]) {
  return {encoder.encode4({v[0], v[1], v[2], v[3]}), encoder.encode4({v[4], v[5], v[6], v[7]})};
}
// The same of integers that the format holds, as those of a row under its own scale.
__device__ inline uint2 encode8_within(float reciprocal, const float (&v)[kVec]) {
  float q[kVec];
#pragma unroll
  for (int i = 0; i < kVec; ++i) q[i] = fmaf(v[i], reciprocal, kIntegerAlign);
  return {join_integers({q[0], q[1], q[2], q[3]}), join_integers({q[4], q[5], q[6], q[7]})};
}

// Writes this lane's part of a row as codes.
template <DType kFormat, int kPacks, int kTeam>
__device__ void write_codes(const Jobs& n, const Job& job, int64_t row, bool first, uint8_t* codes,
                            const PartOfRow<kPacks>& y, Slots<kTeam>& slots) {
  if (job.given) {
    const float scale = *job.given;
    if (row == 0 && first) *job.scale = scale;
    NearEncoder<kFormat> encoder(scale);
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      *reinterpret_cast<uint2*>(codes + p * kPackCols) = encode8(encoder, y.v[p]);
    }
    if (encoder.met_nan()) *n.not_finite = 1;
    return;
  }
  const float largest = slots.template reduce<Largest>(y.largest());
  const float scale = scale_for_absmax(DType::f32, n.top, largest);
  if (first) job.scale[row] = scale;
  if (__float_as_uint(largest) >= 0x7f800000u) *n.not_finite = 1;
  NearEncoder<kFormat> encoder(scale);
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    uint2 words;
    if constexpr (kFormat == DType::i8) {
      words = encode8_within(encoder.reciprocal(), y.v[p]);
    } else {
      words = encode8(encoder, y.v[p]);
    }
    *reinterpret_cast<uint2*>(codes + p * kPackCols) = words;
  }
}

// One sample's gains or offsets, of this lane's columns.
template <class T, int kPacks>
struct Parameters {
  uint4 raw[kPacks];
  __device__ void load(const T* at) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) raw[p] = *reinterpret_cast<const uint4*>(at + p * kPackCols);
  }
  __device__ void get(int p, float (&v)[kVec]) const { widen<T>(raw[p], v); }
  const T* from = nullptr;
};

// kFormat: of the codes, or f32 for rows of T. kTeam warps have a row.
template <class T, int kPacks, int kTeam, DType kFormat>
__global__ void __launch_bounds__(kWarps * 32, blocks_a_processor(kPacks))
    rows_kernel(const __grid_constant__ Jobs n, int rows) {
  constexpr int kCols = kPacks * kTeam * kPackCols, kTeams = kWarps / kTeam;
  __shared__ uint4 ahead[kWarps][kPacks][32];
  __shared__ Slots<kTeam> sums, squares, largest;
  await_earlier_launches();
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int col = warp % kTeam * kPacks * kPackCols + lane * kVec;  // this lane's first
  const auto fetch = [&](const Place& at) {
    const T* x = static_cast<const T*>(n.job[at.job].x) + int64_t{at.row} * kCols + col;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) copy_ahead(&ahead[warp][p][lane], x + p * kPackCols);
  };
  const int stride = static_cast<int>(gridDim.x) * kTeams;
  int row = static_cast<int>(blockIdx.x) * kTeams + warp / kTeam;
  if (row >= rows) return;
  Place at = find(n, row);
  fetch(at);
  Parameters<T, kPacks> gains, offsets;
  for (;;) {
    const Job& job = n.job[at.job];
    const int64_t here = at.row;
    const auto hold = [&](Parameters<T, kPacks>& held, const void* data, int each) {
      const int64_t sample = here < each ? 0 : at.row / each;
      const T* from = static_cast<const T*>(data) + sample * kCols + col;
      if (held.from != from) held.load(from);
      held.from = from;
    };
    hold(gains, job.gain, job.rows_per_gain);
    hold(offsets, job.offset, job.rows_per_offset);
    await_copies();
    PartOfRow<kPacks> y;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) widen<T>(ahead[warp][p][lane], y.v[p]);
    const float sum = sums.template reduce<Sum>(y.sum());
    row += stride;
    if (row < rows) {
      at = find(n, row);
      fetch(at);
    }
    // The true quotient (Markstein): exact if all elements are equal.
    float mean = sum * n.cols_reciprocal;
    mean = fmaf(fmaf(-n.cols_float, mean, sum), n.cols_reciprocal, mean);
    const float all = squares.template reduce<Sum>(y.centre(mean));
    const float inverse = inverse_root(fmaf(all, n.cols_reciprocal, n.eps));
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      float gain[kVec], offset[kVec];
      gains.get(p, gain);
      offsets.get(p, offset);
#pragma unroll
      for (int i = 0; i < kVec; ++i) {
        y.v[p][i] = fmaf(y.v[p][i], fmaf(inverse, gain[i], inverse), offset[i]);
      }
    }
    if constexpr (is_byte_format(kFormat)) {
      write_codes<kFormat>(n, job, here, col == 0,
                           static_cast<uint8_t*>(job.y) + here * kCols + col, y, largest);
    } else {
      T* to = static_cast<T*>(job.y) + here * kCols + col;
#pragma unroll
      for (int p = 0; p < kPacks; ++p) store_floats(to + p * kPackCols, y.v[p]);
    }
    if (row >= rows) return;
  }
}

}  // namespace octavo::cuda::modulate
