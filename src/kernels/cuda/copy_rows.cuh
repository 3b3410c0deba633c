#pragma once
// Several copies of rows that lie a pitch apart, in one launch: parts of concats, slices.
#include <span>

#include "kernels/cuda/cuda.h"

namespace octavo::cuda {

// In bytes.
struct RowsCopy {
  const void* from = nullptr;
  void* to = nullptr;
  int64_t rows = 0, width = 0, from_pitch = 0, to_pitch = 0;
};
constexpr size_t kMostRowsCopies = 16;  // of a launch

// None may read what another writes.
void copy_rows(const Call& call, std::span<const RowsCopy> copies);

}  // namespace octavo::cuda
