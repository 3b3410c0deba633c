#pragma once
// Softmax of attention scores, one block of keys after the other (online): each row keeps the
// largest score and the sum of weights so far, and rescales what it has when the largest grows.
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo::cpu {

struct SoftmaxBlock {
  float* scores = nullptr;  // [rows, keys], rows `keys` apart; becomes weights
  int64_t rows = 0, keys = 0;
  float scale = 1;
  // scale * score + bias; rows of bias are `bias_stride` elements apart. f32, bf16 or absent.
  DType bias_type = DType::f32;
  const void* bias = nullptr;
  int64_t bias_stride = 0;
  float* largest = nullptr;  // [rows]
  float* total = nullptr;    // [rows]
  float* sums = nullptr;     // [rows, depth]: weighted values so far
  int64_t depth = 0;
  bool first = true;  // nothing so far
};

void softmax_block(const SoftmaxBlock& block);

// y[row] = sums[row] / total[row] for rows `ld` elements of `type` apart.
void divide_rows(const float* sums, const float* total, int64_t rows, int64_t depth, DType type,
                 void* y, int64_t ld);

}  // namespace octavo::cpu
