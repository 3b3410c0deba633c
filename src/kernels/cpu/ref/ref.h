#pragma once
// The reference kernels: what every op means. Simple loops in one fixed order, sums in double,
// operands of any float type read exactly, results rounded once. Rows are spread over threads; no
// result depends on how many. Other kernels are tested against these.
#include "kernels/kernel.h"

namespace octavo::cpu {

extern const Kernel kSiluRef;

}  // namespace octavo::cpu
