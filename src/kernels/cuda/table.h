#pragma once
// The CUDA kernels; their table, in the order of preference, is kernels.cc.
#include "kernels/kernel.h"

namespace octavo::cuda {

// products
extern const Kernel kLinearBf16Cublaslt;
extern const Kernel kLinearF16Cublaslt;
extern const Kernel kLinearBf16TermsCublaslt;
extern const Kernel kLinearF32Cublaslt;
extern const Kernel kLinearSimt;
extern const Kernel kQuantizedLinearI8Cublaslt;
extern const Kernel kQuantizedLinearE4m3Cublaslt;
extern const Kernel kQuantizedLinearBf16Cublaslt;
extern const Kernel kQuantizedLinearF16Cublaslt;
extern const Kernel kQuantizedLinearBf16TermsCublaslt;
extern const Kernel kQuantizedLinearF32Cublaslt;
extern const Kernel kQuantizedLinearSimt;
extern const Kernel kConv2dBf16Cublaslt;
extern const Kernel kConv2dF16Cublaslt;
extern const Kernel kConv2dBf16TermsCublaslt;
extern const Kernel kConv2dF32Cublaslt;
extern const Kernel kConv2dSimt;
extern const Kernel kQuantizedConv2dI8Cublaslt;
extern const Kernel kQuantizedConv2dE4m3Cublaslt;
extern const Kernel kQuantizedConv2dBf16Cublaslt;
extern const Kernel kQuantizedConv2dF16Cublaslt;
extern const Kernel kQuantizedConv2dBf16TermsCublaslt;
extern const Kernel kQuantizedConv2dF32Cublaslt;
extern const Kernel kQuantizedConv2dSimt;

extern const Kernel kQuantize;
extern const Kernel kSilu;

}  // namespace octavo::cuda
