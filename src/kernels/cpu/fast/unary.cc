// silu, gelu (tanh form) and affine.
#include "base/threads.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/pointwise.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

Verdict supports(const Call& call) { return vector_float(call, 0, "x"); }

Verdict supports_gelu(const Call& call) {
  if (call.attrs.get_string("approximate") != "tanh") {
    return Verdict::no("the exact gelu has no vector form");
  }
  if (call.attrs.has("out_spec")) return Verdict::no("the output is quantized");
  return supports(call);
}

template <Unary kFunction>
void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const bool affine = kFunction == Unary::affine;
  const float a = affine ? static_cast<float>(call.attrs.get_double("scale")) : 1;
  const float b = affine ? static_cast<float>(call.attrs.get_double("shift")) : 0;
  const DType type = call.inputs[0]->dtype;
  const int64_t bytes = info(type).bits / 8;
  parallel_for(element_count(shape_of(call, 0)), rows_of_chunk(1), [&](int64_t begin, int64_t end) {
    unary_span(kFunction, type, static_cast<const std::byte*>(buffers.inputs[0]) + begin * bytes,
               static_cast<std::byte*>(buffers.outputs[0]) + begin * bytes, end - begin, a, b);
  });
}

}  // namespace

const Kernel kSiluHwy = {.name = "silu_hwy",
                         .op = Op::silu,
                         .supports = supports,
                         .launch = launch<Unary::silu>,
                         .in_place = true};
const Kernel kGeluHwy = {.name = "gelu_hwy",
                         .op = Op::gelu,
                         .supports = supports_gelu,
                         .launch = launch<Unary::gelu_tanh>,
                         .in_place = true};
const Kernel kAffineHwy = {.name = "affine_hwy",
                           .op = Op::affine,
                           .supports = supports,
                           .launch = launch<Unary::affine>,
                           .in_place = true};

}  // namespace octavo::cpu
