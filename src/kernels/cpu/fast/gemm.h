#pragma once
// Products y[m, n] = x[m, k] w[n, k]^T in fixed tiles. Weights are packed once, in chunks of
// columns; a tile is a block of rows against one chunk, computed by oneDNN on one thread into that
// thread's scratch, where the caller finishes it. Tiles depend on the extents only.
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/fast/epilogue.h"
#include "kernels/cpu/fast/matmul.h"
#include "tensor/tensor.h"

namespace octavo::cpu {

// How products are computed. Operands of another type are converted to it tile by tile.
enum class GemmKind : uint8_t {
  f32,     // f32 x f32 -> f32
  bf16,    // bf16 x bf16 -> f32
  i8,      // i8 x i8 -> i32, exact; needs has_exact_int8_dot()
  i8_f32,  // the same integers from f32 products: pieces of k whose sums f32 holds exactly
};
DType accumulator(GemmKind kind);

class PackedWeights {
 public:
  // w[n, k]: f32, bf16 or i8 as the kind wants (i8_f32 takes i8).
  PackedWeights(GemmKind kind, const Tensor& w);
  GemmKind kind() const { return kind_; }
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  size_t bytes() const { return packed_.bytes(); }

  int64_t chunks() const { return (n_ + chunk_cols_ - 1) / chunk_cols_; }
  int64_t chunk_cols() const { return chunk_cols_; }
  int64_t pieces() const { return (k_ + piece_k_ - 1) / piece_k_; }
  int64_t piece_k() const { return piece_k_; }
  const std::byte* packed(int64_t chunk, int64_t piece) const;

 private:
  GemmKind kind_;
  int64_t n_, k_;
  int64_t chunk_cols_, piece_k_;
  size_t chunk_bytes_ = 0, piece_bytes_ = 0;  // distances in packed_
  Tensor packed_;
};

class Gemm {
 public:
  // x: m rows of `type`, k elements each, contiguous. block_rows: rows of a tile.
  Gemm(const PackedWeights& weights, DType type, int64_t m, int64_t block_rows = 64);

  int64_t row_blocks() const { return (m_ + block_rows_ - 1) / block_rows_; }
  int64_t tiles() const { return row_blocks() * weights_.chunks(); }
  // Chunks of columns one after the other, all row blocks of each: packed weights stay in the
  // cache.
  Tile tile(int64_t index) const { return tile(index % row_blocks(), index / row_blocks()); }
  Tile tile(int64_t row_block, int64_t chunk) const;
  // Makes the products that run() will use.
  void warm() const;
  // Computes one tile from x into acc, whose rows are `ld` elements apart.
  void run(const Tile& tile, const void* x, void* acc, int64_t ld) const;
  // The tile in Scratch::tile, rows tile.cols apart.
  void* run(const Tile& tile, const void* x) const;

 private:
  const void* operand(const Tile& tile, const void* x) const;
  const Matmul& product(const Tile& tile, int64_t k, int64_t ld) const;
  void run_exact(const Tile& tile, const void* x, int32_t* acc, int64_t ld) const;

  const PackedWeights& weights_;
  DType type_;
  int64_t m_, block_rows_;
};

}  // namespace octavo::cpu
