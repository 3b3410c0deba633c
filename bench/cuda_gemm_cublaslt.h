#pragma once
// cuBLASLt's product of the same operands, from the library as it is installed.
#include <cuda_runtime.h>

#include <functional>
#include <memory>

#include "kernels/cuda/sm90/gemm.h"

namespace octavo::bench {

class CublasLt {
 public:
  static std::unique_ptr<CublasLt> open();  // nullptr where there is no library
  virtual ~CublasLt() = default;
  // Launches y = x w^T for gemm's types and extents (bf16 -> bf16, e4m3 -> bf16 with fast
  // accumulation and scales of 1, i8 -> i32), with gemm's residual but for i8, on the operands of
  // the gemm given: the fastest of the heuristic's first algorithms by `seconds`; empty where it
  // has none. y holds M N 4 bytes.
  using Launch = std::function<void(const cuda::sm90::Gemm& operands)>;
  virtual Launch plan(const cuda::sm90::Gemm& gemm,
                      const std::function<double(const Launch&)>& seconds) = 0;
};

}  // namespace octavo::bench
