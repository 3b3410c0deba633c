#pragma once
// The fast kernels, declared for the table in kernels.cc.
#include "kernels/kernel.h"

namespace octavo::cpu {}  // namespace octavo::cpu
