// e4m3 layers as one cuBLASLt product each: scales by rows and columns, bias, gate and residual are
// all its own. A gate goes into the weights' scales and the bias:
//   residual + g (x w^T s + b)  =  residual + x w^T (s g) + (g b)
// Fast accumulation: sums stay in the tensor cores. g b is rounded to bf16.
#include "kernels/cuda/linear_e4m3_cublaslt.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/env.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/product_form.h"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr ProductInputs kIn = kQuantizedLinearInputs;
constexpr int kArch = 90, kAlignment = 16;
constexpr int64_t kLeastRows = 1024;  // our own product is faster below

struct Layer {
  int64_t m = 0, n = 0, k = 0, samples = 1;  // m: rows of a sample
  bool x_by_row = false, w_by_row = false, gate = false;
  size_t x_scale = 0, w_scale = 0, bias = 0, library = 0, bytes = 0;  // workspace

  // Tensor scales on both sides need no vectors.
  bool by_tensor() const { return !x_by_row && !w_by_row && !gate; }
  bool makes_x_scale() const { return !by_tensor() && !x_by_row; }
  bool makes_w_scale() const { return !by_tensor() && (!w_by_row || gate); }
};

Layer describe(const Call& call) {
  const Shape &x = shape_of(call, kIn.x), &w = shape_of(call, kIn.w);
  Layer l;
  l.n = w[0], l.k = w[1];
  l.m = element_count(x) / std::max<int64_t>(1, l.k);
  l.x_by_row = scaling_of(spec_of(call, "x_spec"), false, l.m, l.k).row_stride == 1;
  l.w_by_row = scaling_of(spec_of(call, "w_spec"), false, l.n, l.k).row_stride == 1;
  l.gate = has(call, kIn.gate);
  if (l.gate) l.samples = std::max<int64_t>(1, shape_of(call, kIn.gate)[0]);
  l.m /= l.samples;
  return l;
}

Product product_of(const Call& call, const Layer& l) {
  return {.ab = DType::e4m3,
          .d = DType::bf16,
          .m = l.m,
          .n = l.n,
          .k = l.k,
          .lda = l.k,
          .ldb = l.k,
          .ldd = l.n,
          .add = has(call, kIn.residual),
          .bias = has(call, kIn.bias),
          .scales = l.by_tensor() ? Product::Scales::tensor : Product::Scales::rows,
          .fast = true};
}

void lay_out(const Call& call, Layer& l, size_t library_bytes) {
  Layout layout;
  const auto samples = static_cast<size_t>(l.samples), n = static_cast<size_t>(l.n);
  if (l.makes_x_scale()) l.x_scale = layout.take(static_cast<size_t>(l.m) * sizeof(float));
  if (l.makes_w_scale()) l.w_scale = layout.take(samples * n * sizeof(float));
  if (l.gate && has(call, kIn.bias)) l.bias = layout.take(samples * n * 2);
  l.library = layout.take(library_bytes);
  l.bytes = layout.bytes();
}

Verdict supports_specs(const Call& call) {
  for (const char* attribute : {"x_spec", "w_spec"}) {
    const auto spec = spec_of(call, attribute);
    if (!spec) return Verdict::no("x is not quantized");
    if (spec->format != "e4m3" || spec->tile_cols != 0 || spec->tile_rows > 1 || spec->zero_point) {
      return Verdict::no(fmt::format("{} is not e4m3 with scales by rows", spec->text()));
    }
  }
  for (const size_t i : {kIn.x_scale, kIn.w_scale}) {
    if (dtype_of(call, i) != DType::f32) return Verdict::no("scales are not f32");
  }
  return Verdict::yes();
}

Verdict supports(const Call& call) {
  if (device_info(call).arch != kArch) return Verdict::no("tuned for compute capability 9.0 only");
  if (call.rules.batch_invariant) {
    return Verdict::no("cuBLASLt's choice, and so a row's bits, depend on the number of rows");
  }
  if (const auto sums = env("OCTAVO_FP8_SUMS"); sums && *sums == "accurate") {
    return Verdict::no("OCTAVO_FP8_SUMS is accurate");
  }
  const Verdict specs = supports_specs(call);
  if (!specs.supported) return specs;
  if (call.outputs[0].dtype != DType::bf16) return Verdict::no("the output is not bf16");
  for (const size_t i : {kIn.bias, kIn.gate, kIn.residual}) {
    if (has(call, i) && dtype_of(call, i) != DType::bf16) {
      return Verdict::no(fmt::format("input {} is {}, not bf16", i, name(dtype_of(call, i))));
    }
  }
  if (call.attrs.get_string_or("activation", "none") != "none" || call.attrs.has("out_spec")) {
    return Verdict::no("cuBLASLt has no such epilogue");
  }
  const Layer l = describe(call);
  if (l.m < kLeastRows || l.n % 16 != 0 || l.k % 16 != 0 || l.k == 0) {
    return Verdict::no("few rows, or rows that are not multiples of 16 bytes");
  }
  std::string reason;
  const bool found = device_of(call).libraries().find(product_of(call, l), &reason) != nullptr;
  return found ? Verdict::yes() : Verdict::no(reason);
}

size_t workspace(const Call& call, const KernelState*) {
  Layer l = describe(call);
  lay_out(call, l, device_of(call).libraries().get(product_of(call, l)).workspace_bytes());
  return l.bytes;
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Layer l = describe(call);
  const ChosenProduct& product = device_of(call).libraries().get(product_of(call, l));
  lay_out(call, l, product.workspace_bytes());
  const auto input = [&](size_t i) { return address(call, buffers, i); };
  GateFolding f{.x_scale = static_cast<const float*>(input(kIn.x_scale)),
                .w_scale = static_cast<const float*>(input(kIn.w_scale)),
                .w_stride = l.w_by_row ? 1 : 0,
                .bias = input(kIn.bias),
                .gate = input(kIn.gate),
                .m = l.m,
                .n = l.n,
                .samples = l.samples};
  if (l.makes_x_scale()) f.x_scales = static_cast<float*>(at(buffers, l.x_scale));
  if (l.makes_w_scale()) f.w_scales = static_cast<float*>(at(buffers, l.w_scale));
  if (l.gate && has(call, kIn.bias)) f.biases = at(buffers, l.bias);
  if (!l.by_tensor() && (f.x_scales || f.w_scales)) fold_gate(call, f);
  const auto row = [](const void* data, int64_t index, int64_t bytes) -> const void* {
    return data ? static_cast<const std::byte*>(data) + index * bytes : nullptr;
  };
  for (int64_t s = 0; s < l.samples; ++s) {
    ProductOperands o;
    o.a = row(input(kIn.x), s * l.m, l.k);
    o.b = input(kIn.w);
    o.c = row(input(kIn.residual), s * l.m, 2 * l.n);
    o.bias = f.biases ? row(f.biases, s, 2 * l.n) : input(kIn.bias);
    o.a_scale = f.x_scales ? f.x_scales : f.x_scale + (l.x_by_row ? s * l.m : 0);
    o.b_scale = f.w_scales ? f.w_scales + (l.gate ? s * l.n : 0) : f.w_scale;
    o.d = const_cast<void*>(row(buffers.outputs[0], s * l.m, 2 * l.n));
    product.run(stream_of(call), o, at(buffers, l.library));
  }
}

}  // namespace

const Kernel kQuantizedLinearE4m3FastCublaslt = {
    .name = "quantized_linear_e4m3_fast_accumulation_cublaslt",
    .op = Op::quantized_linear,
    .supports = supports,
    .workspace = workspace,
    .launch = launch,
    .alignment = kAlignment};

}  // namespace octavo::cuda
