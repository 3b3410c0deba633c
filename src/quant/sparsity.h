#pragma once
// Pruning to two of any four neighbouring inputs of an output, as sparse tensor cores have it.
// Private to this floor; the Hessian's choice is part of gptq.h.
#include "quant/gptq.h"

namespace octavo {

// Keeps the two of each four with the largest magnitudes, of equal ones the first. cols % 4 == 0.
Mask largest_two_of_four(const Matrix& weight);
// weight where the mask is 1, else 0. An empty mask keeps all.
Matrix masked(const Matrix& weight, const Mask& mask);

}  // namespace octavo
