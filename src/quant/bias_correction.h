#pragma once
// What rounding does to the mean of a layer's output, to be taken out of it by the bias. Private to
// this floor.
#include "quant/input_values.h"
#include "quant/matrix.h"

namespace octavo {

// E[weight x' - values Q(x') - branch x'],  [out]: that of the weights from the exact mean of x',
// that of the inputs' rounding Q from recorded rows. `rows`: x', `rounded`: Q(x'), both [n, in];
// equal (or empty) where inputs are not rounded. branch: up down, or empty.
VectorD mean_output_error(const Matrix& weight, const Matrix& values, const Matrix& branch,
                          const VectorD& mean, const Matrix& rows, const Matrix& rounded);

}  // namespace octavo
