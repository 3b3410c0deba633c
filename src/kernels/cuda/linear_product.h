#pragma once
// linear and quantized_linear as cuBLASLt products and an epilogue.
#include "kernels/cuda/product_form.h"

namespace octavo::cuda {

Verdict supports_linear(const Call& call, const ProductInputs& in, Form form);
size_t linear_workspace(const Call& call, const ProductInputs& in, Form form);
void launch_linear(const Call& call, const ProductInputs& in, Form form, const Buffers& buffers);

// A row of the kernel table.
template <const ProductInputs& kIn, Form kForm>
constexpr Kernel linear_kernel(const char* name, Op op) {
  return {.name = name,
          .op = op,
          .supports = [](const Call& call) { return supports_linear(call, kIn, kForm); },
          .workspace = [](const Call& call,
                          const KernelState*) { return linear_workspace(call, kIn, kForm); },
          .launch = [](const Call& call, const KernelState*,
                       const Buffers& buffers) { launch_linear(call, kIn, kForm, buffers); }};
}

}  // namespace octavo::cuda
