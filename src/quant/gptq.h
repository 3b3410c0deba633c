#pragma once
// Rounding that knows the inputs: the codes are chosen to keep the layer's output error
//   tr(E H E^T),  E = weight - value(codes),  H = E[x x^T]
// small, not the weight's. Private to this floor.
//   1 error feedback (GPTQ, Frantar et al. 2023, arXiv:2210.17323): column after column is rounded
//     and its error taken out of the columns still to come through the Cholesky factor U of
//     H^-1 = U^T U, columns with the largest H_jj first.
//   2 twice: the tiles' scales refitted to the codes (least squares under H; tiles of one row),
//   then
//     every code moved to the one with the least error given all others (coordinate descent).
// A row whose error is not below that of plain rounding on the same grid gets plain rounding.
#include <cstdint>
#include <vector>

#include "quant/weight_grid.h"

namespace octavo {

// Which weights stay: 1 keeps, 0 is pruned, [rows, cols]. Empty keeps all.
using Mask = Eigen::Matrix<uint8_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// H made symmetric, and `damping` times the mean of its diagonal added to that: inputs that were
// never seen do not make it singular, and those of other prompts do not cost too much.
MatrixD damped(const MatrixD& hessian, double damping);

// Codes of `weight` [rows, cols] under a damped H; the grid's scales may be refitted. `mask`:
// pruned weights get the code of 0. Where `prune_two_of_four`, the mask is found on the way
// (SparseGPT, Frantar & Alistarh 2023, arXiv:2301.00774): of four neighbouring columns the two with
// the least w^2 / U_jj^2 go, and `mask` is written. Same result on any number of threads.
Matrix gptq_round(const Matrix& weight, const MatrixD& hessian, WeightGrid& grid, Mask& mask,
                  bool prune_two_of_four);

// tr(E H E^T) with E = weight - values, row by row.
VectorD output_errors(const Matrix& weight, const Matrix& values, const MatrixD& hessian);

}  // namespace octavo
