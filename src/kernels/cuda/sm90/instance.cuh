#pragma once
// For the files that compile variants of the product, one for each pair of types.
#include "kernels/cuda/sm90/gemm_kernel.cuh"

namespace octavo::cuda::sm90 {

template <class Operand>
constexpr Element kElement = std::is_same_v<Operand, Bf16>   ? Element::bf16
                             : std::is_same_v<Operand, E4m3> ? Element::e4m3
                                                             : Element::i8;
template <class Out>
constexpr Output kOutput = OutInfo<Out>::kIsCodes       ? Output::codes
                           : std::is_same_v<Out, float> ? Output::f32
                                                        : Output::bf16;

template <class Operand, class Out, int kM, int kN, int kDown, int kAcross, Share kShare,
          bool kAccurate = false>
Instance instance() {
  using S = Shape<kM, kN, kDown, kAcross, kShare>;
  return {kElement<Operand>,
          kOutput<Out>,
          {kM, kN, kDown, kAcross, kShare, kAccurate},
          reinterpret_cast<const void*>(&gemm_kernel<Operand, S, kAccurate, Out>),
          Shared<S>::kBytes};
}

}  // namespace octavo::cuda::sm90
