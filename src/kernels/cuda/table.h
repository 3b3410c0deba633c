#pragma once
// The CUDA kernels; their table, in the order of preference, is kernels.cc.
#include "kernels/kernel.h"

namespace octavo::cuda {

// products
extern const Kernel kLinearBf16Sm90;
extern const Kernel kQuantizedLinearI8Sm90;
extern const Kernel kQuantizedLinearE4m3Sm90;
extern const Kernel kQuantizedLinearE4m3AccurateSm90;
extern const Kernel kQuantizedLinearMixedSm90;
extern const Kernel kQuantizedLinearI4Sm90;
extern const Kernel kLinearBf16Cublaslt;
extern const Kernel kLinearF16Cublaslt;
extern const Kernel kLinearBf16TermsCublaslt;
extern const Kernel kLinearF32Cublaslt;
extern const Kernel kLinearSimt;
extern const Kernel kQuantizedLinearI8Cublaslt;
extern const Kernel kQuantizedLinearE4m3FastCublaslt;
extern const Kernel kQuantizedLinearE4m3Cublaslt;
extern const Kernel kQuantizedLinearBf16Cublaslt;
extern const Kernel kQuantizedLinearF16Cublaslt;
extern const Kernel kQuantizedLinearBf16TermsCublaslt;
extern const Kernel kQuantizedLinearF32Cublaslt;
extern const Kernel kQuantizedLinearSimt;
extern const Kernel kConv2dBf16Cublaslt;
extern const Kernel kConv2dF16Cublaslt;
extern const Kernel kConv2dF32Cublaslt;
extern const Kernel kConv2dSimt;
extern const Kernel kQuantizedConv2dI8Cublaslt;
extern const Kernel kQuantizedConv2dE4m3Cublaslt;
extern const Kernel kQuantizedConv2dBf16Cublaslt;
extern const Kernel kQuantizedConv2dF16Cublaslt;
extern const Kernel kQuantizedConv2dBf16TermsCublaslt;
extern const Kernel kQuantizedConv2dF32Cublaslt;
extern const Kernel kQuantizedConv2dSimt;

// attention
extern const Kernel kAttentionSm90;
extern const Kernel kAttentionMma;
extern const Kernel kAttentionSimt;

// normalisation and rotary positions
extern const Kernel kRmsNorm;
extern const Kernel kLayerNorm;
extern const Kernel kGroupNorm;
extern const Kernel kNormModulate;
extern const Kernel kRope;
extern const Kernel kQkNormRope;

// quantization
extern const Kernel kQuantize;
extern const Kernel kDequantize;
extern const Kernel kHadamard;
extern const Kernel kStepScale;

// element-wise
extern const Kernel kSilu;
extern const Kernel kGelu;
extern const Kernel kAdd;
extern const Kernel kSub;
extern const Kernel kMul;
extern const Kernel kDiv;
extern const Kernel kAffine;
extern const Kernel kClamp;
extern const Kernel kCast;
// data movement
extern const Kernel kReshape;
extern const Kernel kTranspose;
extern const Kernel kConcat;
extern const Kernel kSlice;
extern const Kernel kExpand;
extern const Kernel kUpsampleNearest;
extern const Kernel kEmbedding;
// conditioning
extern const Kernel kTimestepEmbedding;
extern const Kernel kRelativePositionBias;
extern const Kernel kMaskBias;
extern const Kernel kRopeTable;

}  // namespace octavo::cuda
