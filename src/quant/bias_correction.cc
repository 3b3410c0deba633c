#include "quant/bias_correction.h"

#include "base/check.h"

namespace octavo {

VectorD mean_output_error(const Matrix& weight, const Matrix& values, const Matrix& branch,
                          const VectorD& mean, const Matrix& rows, const Matrix& rounded) {
  OCTAVO_ASSERT(rows.rows() == rounded.rows());
  MatrixD difference = weight.cast<double>() - values.cast<double>();
  if (branch.size() != 0) difference -= branch.cast<double>();
  VectorD error = difference * mean;
  if (rows.rows() == 0) return error;
  const VectorD moved = (rounded.cast<double>() - rows.cast<double>()).colwise().mean().transpose();
  return error - values.cast<double>() * moved;
}

}  // namespace octavo
