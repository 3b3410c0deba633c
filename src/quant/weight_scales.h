#pragma once
// Scales of weight tiles that clip: smaller than absmax asks for, when the finer steps are worth
// more than the values cut off. Private to this floor.
#include "quant/weight_grid.h"

namespace octavo {

// Sets each tile's scale (of zero points: its range) to that of a fixed list of fractions of its
// absmax (range) with the least  sum importance[col] (w - rounded w)^2,  the full one among them:
// the error is never above that of absmax. importance: [cols], e.g. the inputs' mean squares, all 1
// for the plain squared error. Same result on any number of threads.
void clip_scales(const Matrix& weight, const Vector& importance, WeightGrid& grid);

}  // namespace octavo
