#include "quant/matrix.h"

#include <cstring>

#include "base/check.h"
#include "base/threads.h"

namespace octavo {

Matrix to_matrix(const Tensor& tensor, int64_t rows, int64_t cols) {
  OCTAVO_ASSERT(tensor.elements() == rows * cols);
  const Tensor values = tensor.to(DType::f32);
  return Eigen::Map<const Matrix>(values.as<float>(), rows, cols);
}

Matrix multiply(const Matrix& a, const Matrix& b) {
  constexpr int64_t kGrain = 64;
  OCTAVO_ASSERT(a.cols() == b.rows());
  Matrix result(a.rows(), b.cols());
  parallel_for(a.rows(), kGrain, [&](int64_t begin, int64_t end) {
    result.middleRows(begin, end - begin).noalias() = a.middleRows(begin, end - begin) * b;
  });
  return result;
}

Tensor to_tensor(const Matrix& matrix) {
  Tensor tensor = Tensor::empty(DType::f32, {matrix.rows(), matrix.cols()});
  if (matrix.size() != 0) std::memcpy(tensor.mutable_data(), matrix.data(), tensor.bytes());
  return tensor;
}

Tensor to_tensor(const Vector& vector) {
  Tensor tensor = Tensor::empty(DType::f32, {vector.size()});
  if (vector.size() != 0) std::memcpy(tensor.mutable_data(), vector.data(), tensor.bytes());
  return tensor;
}

}  // namespace octavo
