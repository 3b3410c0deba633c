#pragma once
// The CUDA kernels; their table, in the order of preference, is kernels.cc.
#include "kernels/kernel.h"

namespace octavo::cuda {

extern const Kernel kQuantize;
extern const Kernel kSilu;

}  // namespace octavo::cuda
