#pragma once
// Tensor maps: how the copy engine sees a matrix.
#include <cuda.h>

#include <cstdint>

namespace octavo::cuda::sm90 {

// A row-major matrix of elements of 1 (bytes), 2 (bf16) or 4 (f32) bytes, seen in boxes whose
// rows are one span of the swizzle: 32, 64 or 128 bytes. What a box has outside of the matrix reads
// as 0 and is not written.
struct MatrixView {
  int element_bytes;
  const void* data;           // a multiple of 16, like the rows' length in bytes
  int64_t rows, cols, pitch;  // pitch: elements from row to row
  int box_rows, box_cols;
};
// False where the driver refuses, or has no encoder of tensor maps.
bool make_tensor_map(CUtensorMap* map, const MatrixView& view);

}  // namespace octavo::cuda::sm90
