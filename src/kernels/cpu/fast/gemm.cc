#include "kernels/cpu/fast/gemm.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/fast/convert_rows.h"
#include "kernels/cpu/fast/matmul.h"
#include "kernels/cpu/fast/scratch.h"

namespace octavo::cpu {
namespace {

// 2^24 / (128 * 128): so many products of two codes add up exactly in f32.
constexpr int64_t kExactPiece = 1024;
constexpr size_t kAlign = 64;

DType operand_type(GemmKind kind) {
  switch (kind) {
    case GemmKind::bf16:
      return DType::bf16;
    case GemmKind::i8:
      return DType::i8;
    default:
      return DType::f32;
  }
}

// Type of the matrix product itself.
DType product_type(GemmKind kind) { return kind == GemmKind::i8 ? DType::i32 : DType::f32; }

// Narrow matrices in two chunks or more, so that few rows still make work for several threads.
int64_t columns_of_chunk(int64_t n) { return n <= 256 ? std::min<int64_t>(n, 128) : 256; }

size_t align(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

}  // namespace

DType accumulator(GemmKind kind) {
  return kind == GemmKind::i8 || kind == GemmKind::i8_f32 ? DType::i32 : DType::f32;
}

PackedWeights::PackedWeights(GemmKind kind, const Tensor& w)
    : kind_(kind),
      n_(w.dim(0)),
      k_(w.dim(1)),
      chunk_cols_(columns_of_chunk(n_)),
      piece_k_(kind == GemmKind::i8_f32 ? std::min(k_, kExactPiece) : k_) {
  const DType type = operand_type(kind), product = product_type(kind);
  const Tensor source = kind == GemmKind::i8_f32 ? w.to(DType::f32) : w;
  OCTAVO_ASSERT(source.dtype() == type && w.rank() == 2);
  for (int64_t cols : {chunk_cols_, n_ - (chunks() - 1) * chunk_cols_}) {
    for (int64_t depth : {piece_k_, k_ - (pieces() - 1) * piece_k_}) {
      piece_bytes_ = std::max(piece_bytes_, align(packed_bytes(type, type, product, cols, depth)));
    }
  }
  chunk_bytes_ = piece_bytes_ * static_cast<size_t>(pieces());
  packed_ = Tensor::empty(DType::u8, {static_cast<int64_t>(chunk_bytes_) * chunks()});
  const auto* from = source.as<std::byte>();
  const int64_t element = info(type).bits / 8;
  for (int64_t chunk = 0; chunk < chunks(); ++chunk) {
    for (int64_t piece = 0; piece < pieces(); ++piece) {
      const int64_t n0 = chunk * chunk_cols_, k0 = piece * piece_k_;
      pack_weights(type, type, product, std::min(chunk_cols_, n_ - n0), std::min(piece_k_, k_ - k0),
                   from + (n0 * k_ + k0) * element, k_,
                   const_cast<std::byte*>(packed(chunk, piece)));
    }
  }
}

const std::byte* PackedWeights::packed(int64_t chunk, int64_t piece) const {
  return packed_.as<std::byte>() + static_cast<size_t>(chunk) * chunk_bytes_ +
         static_cast<size_t>(piece) * piece_bytes_;
}

Gemm::Gemm(const PackedWeights& weights, DType type, int64_t m, int64_t block_rows)
    : weights_(weights), type_(type), m_(m), block_rows_(block_rows) {}

Tile Gemm::tile(int64_t row_block, int64_t chunk) const {
  const int64_t row = row_block * block_rows_, col = chunk * weights_.chunk_cols();
  return {row, std::min(block_rows_, m_ - row), col,
          std::min(weights_.chunk_cols(), weights_.n() - col)};
}

// The tile's rows of x in the product's type.
const void* Gemm::operand(const Tile& tile, const void* x) const {
  const int64_t offset = tile.row * weights_.k(), count = tile.rows * weights_.k();
  const auto* rows = static_cast<const std::byte*>(x) + offset * (info(type_).bits / 8);
  const DType wanted = operand_type(weights_.kind());
  if (type_ == wanted) return rows;
  OCTAVO_ASSERT(wanted == DType::f32);
  float* converted = scratch_of<float>(Scratch::operand, count);
  widen(type_, rows, converted, count);
  return converted;
}

const Matmul& Gemm::product(const Tile& tile, int64_t k, int64_t ld) const {
  const DType type = operand_type(weights_.kind());
  return Matmul::get({.a = type,
                      .b = type,
                      .c = product_type(weights_.kind()),
                      .m = tile.rows,
                      .n = tile.cols,
                      .k = k,
                      .lda = k,
                      .ldc = ld});
}

void Gemm::warm() const {
  if (m_ == 0) return;
  const int64_t last_k = weights_.k() - (weights_.pieces() - 1) * weights_.piece_k();
  for (int64_t block : {int64_t{0}, row_blocks() - 1}) {
    for (int64_t chunk : {int64_t{0}, weights_.chunks() - 1}) {
      const Tile t = tile(block, chunk);
      for (int64_t k : {weights_.piece_k(), last_k}) product(t, k, t.cols);
    }
  }
}

void Gemm::run(const Tile& tile, const void* x, void* acc, int64_t ld) const {
  if (weights_.kind() == GemmKind::i8_f32)
    return run_exact(tile, x, static_cast<int32_t*>(acc), ld);
  product(tile, weights_.k(), ld)
      .run(operand(tile, x), weights_.packed(tile.col / weights_.chunk_cols(), 0), acc);
}

// Rows of a piece are copied together: oneDNN's fast products want packed weights with dense rows.
void Gemm::run_exact(const Tile& tile, const void* x, int32_t* acc, int64_t ld) const {
  const auto* codes = static_cast<const int8_t*>(x) + tile.row * weights_.k();
  float* a = scratch_of<float>(Scratch::operand, tile.rows * weights_.piece_k());
  float* sums = scratch_of<float>(Scratch::extra, tile.rows * tile.cols);
  for (int64_t piece = 0; piece < weights_.pieces(); ++piece) {
    const int64_t k0 = piece * weights_.piece_k();
    const int64_t k = std::min(weights_.piece_k(), weights_.k() - k0);
    for (int64_t r = 0; r < tile.rows; ++r) {
      widen(type_, codes + r * weights_.k() + k0, a + r * k, k);
    }
    product(tile, k, tile.cols)
        .run(a, weights_.packed(tile.col / weights_.chunk_cols(), piece), sums);
    for (int64_t r = 0; r < tile.rows; ++r) {
      f32_to_i32(sums + r * tile.cols, acc + r * ld, tile.cols, piece > 0);
    }
  }
}

void* Gemm::run(const Tile& tile, const void* x) const {
  void* acc = scratch_of<float>(Scratch::tile, tile.rows * tile.cols);
  run(tile, x, acc, tile.cols);
  return acc;
}

}  // namespace octavo::cpu
