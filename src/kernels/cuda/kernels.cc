// The table of CUDA kernels: one row a kernel, grouped by op, best first.
#include <vector>

#include "kernels/cuda/table.h"

namespace octavo {
namespace {

const Kernel* const kRows[] = {
    // linear
    &cuda::kLinearBf16Sm90,
    &cuda::kLinearBf16Cublaslt,
    &cuda::kLinearF16Cublaslt,
    &cuda::kLinearBf16TermsCublaslt,
    &cuda::kLinearF32Cublaslt,
    &cuda::kLinearSimt,
    // quantized_linear
    &cuda::kQuantizedLinearE4m3FastCublaslt,
    &cuda::kQuantizedLinearI8Sm90,
    &cuda::kQuantizedLinearE4m3Sm90,
    &cuda::kQuantizedLinearE4m3AccurateSm90,
    &cuda::kQuantizedLinearMixedSm90,
    &cuda::kQuantizedLinearI4Sm90,
    &cuda::kQuantizedLinearI8Cublaslt,
    &cuda::kQuantizedLinearE4m3Cublaslt,
    &cuda::kQuantizedLinearBf16Cublaslt,
    &cuda::kQuantizedLinearF16Cublaslt,
    &cuda::kQuantizedLinearBf16TermsCublaslt,
    &cuda::kQuantizedLinearF32Cublaslt,
    &cuda::kQuantizedLinearSimt,
    // conv2d
    &cuda::kConv2dBf16Cublaslt,
    &cuda::kConv2dF16Cublaslt,
    &cuda::kConv2dF32Cublaslt,
    &cuda::kConv2dSimt,
    // quantized_conv2d
    &cuda::kQuantizedConv2dI8Cublaslt,
    &cuda::kQuantizedConv2dE4m3Cublaslt,
    &cuda::kQuantizedConv2dBf16Cublaslt,
    &cuda::kQuantizedConv2dF16Cublaslt,
    &cuda::kQuantizedConv2dBf16TermsCublaslt,
    &cuda::kQuantizedConv2dF32Cublaslt,
    &cuda::kQuantizedConv2dSimt,
    // attention
    &cuda::kAttentionSm90,
    &cuda::kAttentionMma,
    &cuda::kAttentionSimt,
    // normalisation and rotary positions
    &cuda::kRmsNorm,
    &cuda::kLayerNorm,
    &cuda::kGroupNorm,
    &cuda::kNormModulate,
    &cuda::kRope,
    &cuda::kQkNormRope,
    // quantization
    &cuda::kQuantize,
    &cuda::kDequantize,
    &cuda::kHadamard,
    &cuda::kStepScale,
    // element-wise
    &cuda::kSilu,
    &cuda::kGelu,
    &cuda::kAdd,
    &cuda::kSub,
    &cuda::kMul,
    &cuda::kDiv,
    &cuda::kAffine,
    &cuda::kClamp,
    &cuda::kCast,
    // data movement
    &cuda::kReshape,
    &cuda::kTranspose,
    &cuda::kConcat,
    &cuda::kSlice,
    &cuda::kExpand,
    &cuda::kUpsampleNearest,
    &cuda::kEmbedding,
    // conditioning
    &cuda::kTimestepEmbedding,
    &cuda::kRelativePositionBias,
    &cuda::kMaskBias,
    &cuda::kRopeTable,
};

}  // namespace

std::span<const Kernel> cuda_kernels(Op op) {
  static const std::vector<std::vector<Kernel>> by_op = [] {
    std::vector<std::vector<Kernel>> table(static_cast<size_t>(Op::count_));
    for (const Kernel* row : kRows) table[static_cast<size_t>(row->op)].push_back(*row);
    return table;
  }();
  return by_op[static_cast<size_t>(op)];
}

}  // namespace octavo
