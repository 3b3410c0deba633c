#pragma once
// The matrix that a tensor is to quantization, and the tiles that share a scale in it: loops only.
// Private to this floor.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>

#include "base/threads.h"
#include "octavo/quant_spec.h"
#include "tensor/quantize.h"
#include "tensor/tensor.h"

namespace octavo {

constexpr int64_t kChunk = 4096;  // elements worked on at a time; a multiple of 8: whole bytes

// The tiles of a rows x cols matrix, numbered row by row.
struct Tiles {
  int64_t row_count, col_count;  // tiles down and across
  int64_t rows_each, cols_each;  // extents of one tile, at least 1

  Tiles(const QuantSpec& spec, int64_t rows, int64_t cols) {
    const Shape shape = spec.scale_shape(rows, cols);
    row_count = shape[0], col_count = shape[1];
    rows_each = std::max<int64_t>(1, spec.tile_rows ? spec.tile_rows : rows);
    cols_each = std::max<int64_t>(1, spec.tile_cols ? spec.tile_cols : cols);
  }
  Shape shape() const { return {row_count, col_count}; }
  int64_t size() const { return row_count * col_count; }
  int64_t at(int64_t row, int64_t col_tile) const { return row / rows_each * col_count + col_tile; }

  // body(col tile, offset from col, count) for the parts of columns [col, col + n).
  template <class F>
  void for_each_part(int64_t col, int64_t n, F&& body) const {
    for (int64_t c = col; c < col + n;) {
      const int64_t end = std::min(col + n, (c / cols_each + 1) * cols_each);
      body(c / cols_each, c - col, end - c);
      c = end;
    }
  }
};

// A matrix and how its rows lie in a tensor. A packed tensor pads each row of its last axis, of
// which a matrix row may hold several (convolution weights).
struct MatrixRows {
  int64_t rows, cols;
  int64_t run;  // elements that lie together: a last axis of packed formats, else a matrix row

  MatrixRows(DType dtype, const Shape& shape, MatrixView view) {
    std::tie(rows, cols) = matrix_extents(shape, view);
    run = info(dtype).bits < 8 && !shape.empty() ? shape.back() : cols;
  }

  template <class F>
  void for_each_row(F&& body) const {
    constexpr int64_t kGrain = 1 << 16;  // elements for one thread at a time
    const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, cols));
    parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) body(r);
    });
  }

  // body(col, n) for parts of a row that lie together and begin at a whole byte.
  template <class F>
  void for_each_chunk(F&& body) const {
    for (int64_t col = 0; col < cols;) {
      const int64_t n = std::min(kChunk, run - col % run);
      body(col, n);
      col += n;
    }
  }

  int64_t byte_offset(DType dtype, int64_t row, int64_t col) const {
    const int64_t element = row * cols + col;
    return row_bytes(dtype, run) * (element / run) + row_bytes(dtype, element % run);
  }
};

}  // namespace octavo
