// linear on oneDNN tiles: f32 products (16-bit activations are widened tile by tile), or bf16 x
// bf16 products where the CPU has them and the weights are bf16 already.
#include <fmt/format.h>

#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/isa.h"
#include "kernels/cpu/fast/product.h"

namespace octavo::cpu {
namespace {

constexpr ProductInputs kInputs{
    .x = 0, .w = 1, .bias = 2, .gate = 3, .residual = 4, .out_scale = 5};

Verdict supports_f32(const Call& call) {
  const DType x = call.inputs[kInputs.x]->dtype;
  if (x != DType::f32 && x != DType::bf16) {
    return Verdict::no(fmt::format("x is {}, not f32 or bf16", name(x)));
  }
  return supports_product(call, kInputs);
}

Verdict supports_bf16(const Call& call) {
  for (size_t i : {kInputs.x, kInputs.w}) {
    if (call.inputs[i]->dtype != DType::bf16) {
      return Verdict::no(fmt::format("x and w are {} and {}, not bf16",
                                     name(call.inputs[kInputs.x]->dtype),
                                     name(call.inputs[kInputs.w]->dtype)));
    }
  }
  if (!has_bf16_dot()) return Verdict::no("this CPU has no bf16 products");
  return supports_product(call, kInputs);
}

template <GemmKind kKind>
std::shared_ptr<const KernelState> prepare(const Call& call) {
  const DType type = kKind == GemmKind::bf16 ? DType::bf16 : DType::f32;
  return std::make_shared<ProductState>(call, kInputs, kKind,
                                        call.inputs[kInputs.w]->constant->to(type), Tensor());
}

void launch(const Call& call, const KernelState* state, const Buffers& buffers) {
  run_product(call, buffers, static_cast<const ProductState&>(*state), nullptr, 0);
}

}  // namespace

const Kernel kLinearF32Onednn = {.name = "linear_f32_onednn",
                                 .op = Op::linear,
                                 .supports = supports_f32,
                                 .prepare = prepare<GemmKind::f32>,
                                 .workspace = product_workspace,
                                 .launch = launch};
const Kernel kLinearBf16Onednn = {.name = "linear_bf16_onednn",
                                  .op = Op::linear,
                                  .supports = supports_bf16,
                                  .prepare = prepare<GemmKind::bf16>,
                                  .workspace = product_workspace,
                                  .launch = launch};

}  // namespace octavo::cpu
