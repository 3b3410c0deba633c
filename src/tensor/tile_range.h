#pragma once
// The range of the values of each tile. Private to this floor.
#include <cstdint>
#include <vector>

#include "tensor/matrix_rows.h"
#include "tensor/tensor.h"

namespace octavo {

// Smallest and largest of some values and 0, as keys: integers that compare as the floats do, with
// NaN and -NaN outermost. So one integer minimum and maximum, which vectorise and do not depend on
// the order, find both the range and whatever is not finite.
struct KeyRange {
  int32_t low = 0, high = 0;  // the key of 0
  void merge(const KeyRange& other);
  bool is_finite() const;
  float min() const;
  float max() const;
};

// f32 values [col, col + n) of a row of `source`, a type of 8 bits or more.
void load(const Tensor& source, const MatrixRows& m, int64_t row, int64_t col, float* dst,
          int64_t n);

// The range of every tile, [row tiles, col tiles]; where `magnitude`, that of the absolute values.
std::vector<KeyRange> tile_ranges(const Tensor& source, const MatrixRows& m, const Tiles& tiles,
                                  bool magnitude);

}  // namespace octavo
