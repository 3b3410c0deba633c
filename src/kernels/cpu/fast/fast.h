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
extern const Kernel kQuantizedLinearWidened;

extern const Kernel kAttentionF32Onednn;
extern const Kernel kNormModulateHwy;
extern const Kernel kLayerNormHwy;
extern const Kernel kRmsNormHwy;
extern const Kernel kRopeHwy;
extern const Kernel kQkNormRopeHwy;
extern const Kernel kSiluHwy;
extern const Kernel kGeluHwy;
extern const Kernel kAffineHwy;
extern const Kernel kAddHwy;
extern const Kernel kSubHwy;
extern const Kernel kMulHwy;
extern const Kernel kDivHwy;
extern const Kernel kCastHwy;
extern const Kernel kHadamardHwy;
extern const Kernel kQuantizeHwy;
extern const Kernel kGroupNormHwy;
extern const Kernel kSliceCopy;
extern const Kernel kTransposeBlocked;
extern const Kernel kUpsampleRows;
extern const Kernel kConv2dF32Onednn;
extern const Kernel kQuantizedConv2dI8Onednn;
extern const Kernel kQuantizedConv2dI8ViaF32;
extern const Kernel kQuantizedConv2dWeightOnly;
extern const Kernel kQuantizedConv2dEmulated;
extern const Kernel kQuantizedAttentionF32Onednn;

}  // namespace octavo::cpu
