#pragma once
// The scale's tile of elements that follow one another in a rows x cols matrix: divides once at the
// start, then once a tile.
#include <cstdint>

namespace octavo::cuda {

struct TileGrid {
  int64_t cols, tile_rows, tile_cols, across;
};

class TileCursor {
 public:
  __device__ TileCursor(const TileGrid& grid, int64_t index) : grid_(grid) {
    row_ = index / grid.cols;
    place(index % grid.cols);
  }
  __device__ int64_t tile() const { return tile_; }
  __device__ void advance() {
    if (--left_ > 0) return;
    if (col_end_ == grid_.cols) ++row_;
    place(col_end_ == grid_.cols ? 0 : col_end_);
  }

 private:
  __device__ void place(int64_t col) {
    const int64_t across = col / grid_.tile_cols;
    tile_ = row_ / grid_.tile_rows * grid_.across + across;
    const int64_t end = (across + 1) * grid_.tile_cols;
    col_end_ = end < grid_.cols ? end : grid_.cols;
    left_ = col_end_ - col;
  }

  const TileGrid& grid_;
  int64_t row_, tile_, col_end_, left_;
};

}  // namespace octavo::cuda
