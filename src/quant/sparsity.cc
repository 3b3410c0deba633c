#include "quant/sparsity.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace octavo {

Mask largest_two_of_four(const Matrix& weight) {
  OCTAVO_ASSERT(weight.cols() % 4 == 0);
  Mask mask = Mask::Zero(weight.rows(), weight.cols());
  for (int64_t r = 0; r < weight.rows(); ++r) {
    for (int64_t c = 0; c < weight.cols(); c += 4) {
      int order[4] = {0, 1, 2, 3};
      std::stable_sort(order, order + 4, [&](int a, int b) {
        return std::abs(weight(r, c + a)) > std::abs(weight(r, c + b));
      });
      mask(r, c + order[0]) = mask(r, c + order[1]) = 1;
    }
  }
  return mask;
}

Matrix masked(const Matrix& weight, const Mask& mask) {
  // Not a product with the mask: what is pruned is +0.
  if (mask.size() == 0) return weight;
  return (mask.array() != 0).select(weight, Matrix::Zero(weight.rows(), weight.cols()));
}

}  // namespace octavo
