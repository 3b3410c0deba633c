#pragma once
// Matrices of this floor. Private to it: Eigen stays out of other floors' headers.
#include <Eigen/Core>

#include "tensor/tensor.h"

namespace octavo {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixD = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXf;
using VectorD = Eigen::VectorXd;

// A weight or rows of activations, of any float type, as f32 [rows, cols].
Matrix to_matrix(const Tensor& tensor, int64_t rows, int64_t cols);
// a b, rows of `a` spread over the threads; the result does not depend on their number.
Matrix multiply(const Matrix& a, const Matrix& b);
Tensor to_tensor(const Matrix& matrix);  // f32 [rows, cols]
Tensor to_tensor(const Vector& vector);  // f32 [n]

}  // namespace octavo
