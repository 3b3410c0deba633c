#pragma once
// From sums in registers, with rows along N, to y[M, N]: a warpgroup transposes chunks of 16 rows
// and 64 columns of y on their way through shared memory (stmatrix), where the residual, fetched by
// the copy engine, awaits them.
#include "kernels/cuda/sm90/epilogue.cuh"
#include "kernels/cuda/sm90/mixed_instance.h"

namespace octavo::cuda::sm90 {

constexpr int kMixedRing = 4;  // chunks in flight of a warpgroup
constexpr int kMixedChunkBytes = kMixedRows * kMixedCols * 2;

// Scale, bias and gate of a warpgroup's columns of y, in shared memory.
struct MixedColumns {
  float scale[64], bias[64], gate[64];
};

// Four 8x8 matrices of 16-bit elements, transposed; addresses as in store_matrices.
__device__ inline void store_transposed(uint32_t address, const uint32_t (&v)[4]) {
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
      "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3])
      : "memory");
}
__device__ inline void load_transposed(uint32_t address, uint32_t (&v)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
               : "r"(address)
               : "memory");
}

// The threads of a warpgroup finish tile after tile: 64 columns of y, kM rows.
template <int kM, bool kAllActivations>
class MixedEpilogue {
 public:
  using Sums = float[kM / 2];
  struct Memory {
    uint8_t* staging;   // kMixedRing chunks
    uint64_t* arrived;  // kMixedRing barriers, of residuals
    MixedColumns* columns;
    int barrier;  // for sync_threads
  };

  __device__ explicit MixedEpilogue(const Memory& memory)
      : memory_(memory), thread_(static_cast<int>(threadIdx.x) % 128), lane_(thread_ % 32) {
    const int row = lane_ % 8 + (lane_ >> 4) * 8, unit = 2 * (thread_ / 32) + (lane_ >> 3 & 1);
    place_ = shared_address(memory_.staging) + row * 128 + ((unit ^ (row & 7)) << 4);
  }

  // Of the tile at that column and row of y; fetches what does not wait for the sums.
  __device__ void begin(const MixedMember* member, int col, int row) {
    member_ = member, m_ = member->m, n_ = member->n;
    activation_ = e().activation, has_gate_ = e().gate, has_residual_ = e().residual;
    col_ = col, row_ = row, first_ = used_;
    chunks_ = (min(kM, m_ - row) + kMixedRows - 1) / kMixedRows;
    load_columns();
    if (has_residual_ && thread_ == 0) request(0), request(1);
    __syncwarp();
  }

  __device__ void finish(const Sums& sums) {
    MixedColumns& columns = *memory_.columns;
    sync_threads(memory_.barrier, 128);  // nobody reads the last tile's columns any more
    if (thread_ < 64) {
      columns.scale[thread_] = scale_, columns.bias[thread_] = bias_, columns.gate[thread_] = gate_;
    }
    sync_threads(memory_.barrier, 128);
    if (col_ >= n_) return;
#pragma unroll
    for (int chunk = 0; chunk < kM / kMixedRows; ++chunk) {
      if (chunk >= chunks_) break;
      float v[8];
#pragma unroll
      for (int i = 0; i < 8; ++i) v[i] = sums[8 * chunk + i];
      finish_chunk(chunk, v);
    }
  }

 private:
  __device__ const Epilogue& e() const { return member_->epilogue; }
  __device__ void load_columns() {
    scale_ = 1.0f, bias_ = -0.0f, gate_ = 1.0f;  // v + -0 is v
    const int sample = row_ / e().rows_per_sample;
    one_sample_ = (min(row_ + kM, m_) - 1) / e().rows_per_sample == sample;
    const int c = col_ + thread_;
    if (c >= n_ || thread_ >= 64) return;
    if (e().w_scale) scale_ = e().w_scale[e().w_by_row ? c : 0];
    if (e().gate && one_sample_) gate_ = gate_at(sample, c);
    if (!e().bias) return;
    bias_ = e().bias_bytes == 4 ? static_cast<const float*>(e().bias)[c]
                                : __bfloat162float(static_cast<const __nv_bfloat16*>(e().bias)[c]);
  }
  __device__ float gate_at(int sample, int col) const {
    return __bfloat162float(
        static_cast<const __nv_bfloat16*>(e().gate)[int64_t{sample} * n_ + col]);
  }

  // Starts the copy of that chunk of the tile's residual, if there is one. One thread.
  __device__ void request(int chunk) {
    const int slot = (first_ + chunk) % kMixedRing;
    if (chunk >= chunks_ || col_ >= n_) return;
    barrier_expect(memory_.arrived + slot, kMixedChunkBytes);
    load_box(memory_.staging + slot * kMixedChunkBytes, &member_->residual, memory_.arrived + slot,
             col_, row_ + chunk * kMixedRows);
  }

  // v[4j..4j+3] as d of Wgmma; columns of D are rows of y.
  __device__ void finish_chunk(int chunk, float (&v)[8]) {
    const int slot = used_ % kMixedRing;
    const uint32_t parity = used_ / kMixedRing & 1, place = place_ + slot * kMixedChunkBytes;
    scale_and_activate(v);
    if (has_gate_) multiply_gate(row_ + chunk * kMixedRows, v);
    if (has_residual_) {
      barrier_wait(memory_.arrived + slot, parity);
      uint32_t pairs[4];
      load_transposed(place, pairs);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        v[2 * i] = __uint_as_float(pairs[i] << 16) + v[2 * i];
        v[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u) + v[2 * i + 1];
      }
    }
    const uint32_t rounded[4] = {bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]),
                                 bf16_pair(v[4], v[5]), bf16_pair(v[6], v[7])};
    store_transposed(place, rounded);
    fence_async_proxy();
    // Behind this, the slot of the chunk after the next is free: see the wait below.
    sync_threads(memory_.barrier, 128);
    if (thread_ == 0) {
      store_box(&member_->y, memory_.staging + slot * kMixedChunkBytes, col_,
                row_ + chunk * kMixedRows);
      commit_stores();
      wait_stores_read<kMixedRing - 2>();
      if (has_residual_) request(chunk + 2);
    }
    __syncwarp();
    ++used_;
  }

  __device__ void scale_and_activate(float (&v)[8]) const {
    const MixedColumns& columns = *memory_.columns;
    const int at = 16 * (thread_ / 32) + lane_ / 4;
    const float scale[2] = {columns.scale[at], columns.scale[at + 8]};
    const float bias[2] = {columns.bias[at], columns.bias[at + 8]};
#pragma unroll
    for (int i = 0; i < 8; ++i) v[i] = v[i] * scale[i >> 1 & 1] + bias[i >> 1 & 1];
    if (activation_ == Activation::gelu_tanh) {
#pragma unroll
      for (float& x : v) x = gelu_tanh(x);
    }
    if constexpr (kAllActivations) {
      if (activation_ == Activation::silu) {
#pragma unroll
        for (float& x : v) x = silu(x);
      } else if (activation_ == Activation::gelu) {
#pragma unroll
        for (float& x : v) x = gelu(x);
      }
    }
  }

  __device__ void multiply_gate(int row, float (&v)[8]) const {
    const int at = 16 * (thread_ / 32) + lane_ / 4;
    if (one_sample_) {
      const float gate[2] = {memory_.columns->gate[at], memory_.columns->gate[at + 8]};
#pragma unroll
      for (int i = 0; i < 8; ++i) v[i] = gate[i >> 1 & 1] * v[i];
      return;
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int r = row + 8 * (i >> 2) + 2 * (lane_ & 3) + (i & 1), c = at + 8 * (i >> 1 & 1);
      v[i] = gate_at(min(r, m_ - 1) / e().rows_per_sample, min(col_ + c, n_ - 1)) * v[i];
    }
  }

  const MixedMember* member_ = nullptr;
  int m_ = 0, n_ = 0;
  Memory memory_;
  int thread_, lane_, col_ = 0, row_ = 0, chunks_ = 0;
  uint32_t place_, used_ = 0, first_ = 0;
  Activation activation_ = Activation::none;
  bool one_sample_ = true, has_gate_ = false, has_residual_ = false;
  float scale_ = 1, bias_ = 0, gate_ = 1;
};

}  // namespace octavo::cuda::sm90
