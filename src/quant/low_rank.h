#pragma once
// A branch of few columns beside a quantized product: y = x W'^T + (x down^T) up^T, both in bf16
// (SVDQuant, Li et al. 2024, arXiv:2411.05007). Private to this floor.
#include "quant/matrix.h"

namespace octavo {

struct LowRank {
  Tensor down, up;  // bf16 [rank, in], [out, rank]
};

// The product up down, of rank `rank` <= min(out, in), nearest to `weight` [out, in] under the
// inputs' second moments:  min tr(E H E^T), E = weight - up down:  with H = S S^T (damped, see
// gptq.h) the truncated singular value decomposition of weight S, times S^-1. Each singular
// vector's sign is such that its largest element is positive; the factors share the singular values
// evenly.
LowRank best_low_rank(const Matrix& weight, const MatrixD& hessian, int64_t rank);

Matrix product(const LowRank& branch);  // up down, in f32

}  // namespace octavo
