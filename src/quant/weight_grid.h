#pragma once
// The values that a quantized weight can take: the scales and zero points of its tiles, and
// rounding to codes under them with the arithmetic of tensor/quantize.h. Private to this floor.
#include <vector>

#include "quant/matrix.h"
#include "tensor/quantize.h"

namespace octavo {

// A rectangle of a weight that shares a scale.
struct WeightTile {
  int64_t row, rows, col, cols;
};

class WeightGrid {
 public:
  // Scales by absmax (zero point: by the range), exactly those of quantize().
  WeightGrid(const QuantSpec& spec, const Matrix& weight);

  const QuantSpec& spec() const { return spec_; }
  int64_t tiles() const { return row_tiles_ * col_tiles_; }
  int64_t row_tiles() const { return row_tiles_; }
  int64_t col_tiles() const { return col_tiles_; }
  int64_t tile_cols() const { return cols_each_; }
  bool is_per_row() const { return rows_each_ == 1; }  // no tile has more than one row
  int64_t tile(int64_t row, int64_t col) const {
    return row / rows_each_ * col_tiles_ + col / cols_each_;
  }
  WeightTile extents(int64_t tile) const;

  float scale(int64_t tile) const { return scale_[static_cast<size_t>(tile)]; }
  float zero(int64_t tile) const { return zero_.empty() ? 0 : zero_[static_cast<size_t>(tile)]; }
  // The nearest scale that can be stored; of what is not a positive finite number, the tile's own.
  float storable(int64_t tile, float scale) const;
  void set_scale(int64_t tile, float scale) { scale_[static_cast<size_t>(tile)] = scale; }
  // Scale and zero point for values in [low, high], which contains 0.
  void set_range(int64_t tile, float low, float high);

  // values[i] = the code value nearest to values[i] under scales[i] and zeros[i].
  void round(float* values, const float* scales, const float* zeros, int64_t n) const;
  // The same for the part of one row that lies in a tile.
  void round_in_tile(float* values, int64_t tile, int64_t n) const;

  Matrix round(const Matrix& weight) const;  // code values
  Matrix values(const Matrix& codes) const;  // (code - zero) * scale
  // Code values [rows, cols] in their format, of the logical weight's shape.
  QuantizedTensor pack(const Matrix& codes, const Shape& shape) const;

 private:
  void round_scaled(float* values, int64_t n) const;

  QuantSpec spec_;
  DType format_;
  int64_t rows_, cols_, rows_each_, cols_each_, row_tiles_, col_tiles_;
  float low_ = 0, high_ = 0;  // codes of integer formats
  float tensor_scale_ = 1;    // part of all in scale_
  std::vector<float> scale_, zero_;
};

}  // namespace octavo
