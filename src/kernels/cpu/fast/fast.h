#pragma once
// The fast kernels, declared for the table in kernels.cc.
#include "kernels/kernel.h"

namespace octavo::cpu {

extern const Kernel kLinearBf16Onednn;
extern const Kernel kLinearF32Onednn;
extern const Kernel kQuantizedLinearI8Onednn;
extern const Kernel kQuantizedLinearI8ViaF32;
extern const Kernel kQuantizedLinearWeightOnly;
extern const Kernel kQuantizedLinearEmulated;

}  // namespace octavo::cpu
