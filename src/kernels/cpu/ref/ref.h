#pragma once
// The reference kernels: what every op means. Simple loops in one fixed order, sums in double,
// operands of any float type read exactly, results rounded once. Rows are spread over threads; no
// result depends on how many. Other kernels are tested against these.
#include "kernels/kernel.h"

namespace octavo::cpu {

extern const Kernel kLinearRef;
extern const Kernel kConv2dRef;
extern const Kernel kAttentionRef;
extern const Kernel kRmsNormRef;
extern const Kernel kLayerNormRef;
extern const Kernel kGroupNormRef;
extern const Kernel kNormModulateRef;
extern const Kernel kRopeRef;
extern const Kernel kRopeTableRef;
extern const Kernel kQkNormRopeRef;
extern const Kernel kSiluRef;
extern const Kernel kGeluRef;
extern const Kernel kAddRef;
extern const Kernel kSubRef;
extern const Kernel kMulRef;
extern const Kernel kDivRef;
extern const Kernel kAffineRef;
extern const Kernel kClampRef;
extern const Kernel kCastRef;
extern const Kernel kReshapeRef;
extern const Kernel kTransposeRef;
extern const Kernel kConcatRef;
extern const Kernel kSliceRef;
extern const Kernel kExpandRef;
extern const Kernel kUpsampleNearestRef;
extern const Kernel kEmbeddingRef;
extern const Kernel kTimestepEmbeddingRef;
extern const Kernel kRelativePositionBiasRef;
extern const Kernel kMaskBiasRef;
extern const Kernel kStepScaleRef;
extern const Kernel kHadamardRef;
extern const Kernel kQuantizeRef;
extern const Kernel kDequantizeRef;
extern const Kernel kQuantizedLinearRef;
extern const Kernel kQuantizedConv2dRef;
extern const Kernel kQuantizedAttentionRef;

}  // namespace octavo::cpu
