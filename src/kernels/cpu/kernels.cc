// The table of CPU kernels: one row a kernel, grouped by op, best first, the reference last.
#include <array>

#include "base/check.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/isa.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/kernel.h"

namespace octavo {
namespace {

const Kernel* const kRows[] = {
    // products
    &cpu::kLinearBf16Onednn,
    &cpu::kLinearF32Onednn,
    &cpu::kLinearRef,
    &cpu::kConv2dF32Onednn,
    &cpu::kConv2dRef,
    &cpu::kAttentionF32Onednn,
    &cpu::kAttentionRef,
    // normalisation
    &cpu::kRmsNormHwy,
    &cpu::kRmsNormRef,
    &cpu::kLayerNormHwy,
    &cpu::kLayerNormRef,
    &cpu::kGroupNormHwy,
    &cpu::kGroupNormRef,
    &cpu::kNormModulateHwy,
    &cpu::kNormModulateRef,
    // rotary positions
    &cpu::kRopeHwy,
    &cpu::kRopeRef,
    &cpu::kRopeTableRef,
    &cpu::kQkNormRopeHwy,
    &cpu::kQkNormRopeRef,
    // element-wise
    &cpu::kSiluHwy,
    &cpu::kSiluRef,
    &cpu::kGeluHwy,
    &cpu::kGeluRef,
    &cpu::kAddHwy,
    &cpu::kAddRef,
    &cpu::kSubHwy,
    &cpu::kSubRef,
    &cpu::kMulHwy,
    &cpu::kMulRef,
    &cpu::kDivHwy,
    &cpu::kDivRef,
    &cpu::kAffineHwy,
    &cpu::kAffineRef,
    &cpu::kClampRef,
    &cpu::kCastHwy,
    &cpu::kCastRef,
    // data movement
    &cpu::kReshapeRef,
    &cpu::kTransposeBlocked,
    &cpu::kTransposeRef,
    &cpu::kConcatRef,
    &cpu::kSliceCopy,
    &cpu::kSliceRef,
    &cpu::kExpandRef,
    &cpu::kUpsampleRows,
    &cpu::kUpsampleNearestRef,
    &cpu::kEmbeddingRef,
    // conditioning
    &cpu::kTimestepEmbeddingRef,
    &cpu::kRelativePositionBiasRef,
    &cpu::kMaskBiasRef,
    &cpu::kStepScaleRef,
    // quantization
    &cpu::kHadamardHwy,
    &cpu::kHadamardRef,
    &cpu::kQuantizeHwy,
    &cpu::kQuantizeRef,
    &cpu::kDequantizeRef,
    &cpu::kQuantizedLinearI8Onednn,
    &cpu::kQuantizedLinearI8ViaF32,
    &cpu::kQuantizedLinearWeightOnly,
    &cpu::kQuantizedLinearEmulated,
    &cpu::kQuantizedLinearWidened,
    &cpu::kQuantizedLinearRef,
    &cpu::kQuantizedConv2dI8Onednn,
    &cpu::kQuantizedConv2dI8ViaF32,
    &cpu::kQuantizedConv2dWeightOnly,
    &cpu::kQuantizedConv2dEmulated,
    &cpu::kQuantizedConv2dRef,
    &cpu::kQuantizedAttentionF32Onednn,
    &cpu::kQuantizedAttentionRef,
};

constexpr size_t kOps = static_cast<size_t>(Op::count_);

std::array<std::vector<Kernel>, kOps> group_by_op() {
  cpu::apply_isa_cap();
  std::array<std::vector<Kernel>, kOps> groups;
  for (const Kernel* kernel : kRows) groups[static_cast<size_t>(kernel->op)].push_back(*kernel);
  return groups;
}

}  // namespace

std::span<const Kernel> cpu_kernels(Op op) {
  static const auto groups = group_by_op();
  OCTAVO_ASSERT(op < Op::count_);
  return groups[static_cast<size_t>(op)];
}

}  // namespace octavo
