#pragma once
// conv2d and quantized_conv2d as products of the filters with patches of each sample.
#include "kernels/cuda/product_form.h"

namespace octavo::cuda {

Verdict supports_conv(const Call& call, const ProductInputs& in, Form form);
size_t conv_workspace(const Call& call, const ProductInputs& in, Form form);
void launch_conv(const Call& call, const ProductInputs& in, Form form, const Buffers& buffers);

// A row of the kernel table.
template <const ProductInputs& kIn, Form kForm>
constexpr Kernel conv_kernel(const char* name, Op op) {
  return {.name = name,
          .op = op,
          .supports = [](const Call& call) { return supports_conv(call, kIn, kForm); },
          .workspace = [](const Call& call,
                          const KernelState*) { return conv_workspace(call, kIn, kForm); },
          .launch = [](const Call& call, const KernelState*,
                       const Buffers& buffers) { launch_conv(call, kIn, kForm, buffers); }};
}

}  // namespace octavo::cuda
