#include "quant/low_rank.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <cmath>

#include "base/check.h"

namespace octavo {
namespace {

// Left singular vectors of the `rank` largest singular values, by the smaller Gram matrix, and
// values^T: a = vectors (vectors^T a) on their span.
MatrixD leading_left_vectors(const MatrixD& a, int64_t rank) {
  const bool wide = a.rows() <= a.cols();
  const MatrixD gram = wide ? MatrixD(a * a.transpose()) : MatrixD(a.transpose() * a);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(gram);
  OCTAVO_CHECK_CODE(not_finite, solver.info() == Eigen::Success,
                    "the singular values of a {} x {} matrix did not converge", a.rows(), a.cols());
  MatrixD vectors = solver.eigenvectors().rightCols(rank).rowwise().reverse();
  if (!wide) {
    vectors = a * vectors;
    for (int64_t i = 0; i < rank; ++i) {
      const double norm = vectors.col(i).norm();
      if (norm > 0) vectors.col(i) /= norm;
    }
  }
  for (int64_t i = 0; i < rank; ++i) {
    int64_t largest = 0;
    vectors.col(i).cwiseAbs().maxCoeff(&largest);
    if (vectors(largest, i) < 0) vectors.col(i) *= -1;
  }
  return vectors;
}

}  // namespace

LowRank best_low_rank(const Matrix& weight, const MatrixD& hessian, int64_t rank) {
  OCTAVO_ASSERT(rank >= 1 && rank <= std::min(weight.rows(), weight.cols()));
  const Eigen::LLT<MatrixD> llt(hessian);
  OCTAVO_CHECK_CODE(not_finite, llt.info() == Eigen::Success,
                    "the inputs' second moments are not positive definite after damping");
  const MatrixD w = weight.cast<double>();
  const MatrixD left = leading_left_vectors(w * MatrixD(llt.matrixL()), rank);
  // vectors^T (W S) S^-1 = vectors^T W
  MatrixD up = left, down = left.transpose() * w;
  for (int64_t i = 0; i < rank; ++i) {
    const double root = std::sqrt(down.row(i).norm());
    up.col(i) *= root;
    if (root > 0) down.row(i) /= root;
  }
  return {to_tensor(Matrix(down.cast<float>())).to(DType::bf16),
          to_tensor(Matrix(up.cast<float>())).to(DType::bf16)};
}

Matrix product(const LowRank& branch) {
  const Matrix down = to_matrix(branch.down, branch.down.dim(0), branch.down.dim(1));
  return to_matrix(branch.up, branch.up.dim(0), branch.up.dim(1)) * down;
}

}  // namespace octavo
