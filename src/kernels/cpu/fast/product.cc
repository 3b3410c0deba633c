#include "kernels/cpu/fast/product.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "base/threads.h"
#include "kernels/cpu/fast/scratch.h"

namespace octavo::cpu {
namespace {

// Rows whose f32 results wait in a thread's scratch for their scales.
constexpr int64_t kDynamicRows = 32;

Epilogue make_epilogue(const Call& call, const Buffers& buffers, const ProductState& state,
                       int64_t rows) {
  const ProductInputs& in = state.inputs;
  Epilogue e;
  e.acc = accumulator(state.weights.kind());
  e.n = state.weights.n();
  e.w_scale = state.w_scale.as<float>();
  e.w_scale_stride = 1;
  e.bias = state.bias.as<float>();
  e.activation = state.activation;
  for (size_t i : {in.gate, in.residual}) {
    if (has(call, i)) e.type = call.inputs[i]->dtype;
  }
  e.gate = data_of(call, buffers, in.gate);
  if (e.gate) e.rows_per_sample = rows_per_sample(rows, shape_of(call, in.gate)[0]);
  e.residual = data_of(call, buffers, in.residual);
  e.out = call.outputs[0].dtype;
  e.output = buffers.outputs[0];
  return e;
}

Gemm make_gemm(const Call& call, const ProductState& state) {
  const int64_t rows = leading_rows(shape_of(call, state.inputs.x));
  const DType type = state.x_is_widened ? DType::f32 : call.inputs[state.inputs.x]->dtype;
  if (state.out.mode != OutMode::dynamic_row) return Gemm(state.weights, type, rows);
  return Gemm(state.weights, type, rows, kDynamicRows);
}

void run_tiles(const Call& call, const Gemm& gemm, const void* x, const Epilogue& e,
               const OutQuant& out) {
  parallel_for(gemm.tiles(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Tile tile = gemm.tile(i);
      if (!finish_tile(e, gemm.run(tile, x), tile.cols, tile)) fail_not_finite(call, out.spec);
    }
  });
}

// Blocks of whole rows: all chunks into f32 rows in scratch, then each row's scale and codes.
void run_dynamic_rows(const Call& call, const PackedWeights& weights, const Gemm& gemm,
                      const void* x, const Epilogue& e, const OutQuant& out,
                      const Buffers& buffers) {
  auto* scale = static_cast<float*>(buffers.outputs[1]);
  auto* codes = static_cast<std::byte*>(buffers.outputs[0]);
  const int64_t n = weights.n();
  parallel_for(gemm.row_blocks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      float* y = scratch_of<float>(Scratch::rows, kDynamicRows * n);
      Epilogue to_rows = e;
      to_rows.out = DType::f32;
      to_rows.output = y;
      to_rows.first_row = block * kDynamicRows;
      Tile tile{};
      for (int64_t chunk = 0; chunk < weights.chunks(); ++chunk) {
        tile = gemm.tile(block, chunk);
        finish_tile(to_rows, gemm.run(tile, x), tile.cols, tile);
      }
      for (int64_t r = 0; r < tile.rows; ++r) {
        const int64_t row = tile.row + r;
        quantize_row(call, out, DType::f32, y + r * n, n, codes + row * n, scale + row);
      }
    }
  });
}

}  // namespace

ProductState::ProductState(const Call& call, const ProductInputs& in, GemmKind kind,
                           const Tensor& w, Tensor scale)
    : inputs(in),
      weights(kind, w),
      w_scale(std::move(scale)),
      bias(constant_f32(call, in.bias)),
      activation(activation_of(call)),
      out(make_out_quant(out_spec(call))) {}

Verdict supports_product(const Call& call, const ProductInputs& in) {
  const Verdict constants =
      all_of({is_constant_or_absent(call, in.w, "w"), is_constant_or_absent(call, in.bias, "bias"),
              supports_activation(call)});
  if (!constants.supported) return constants;
  const Shape& w = shape_of(call, in.w);
  if (w[0] == 0 || w[1] == 0) return Verdict::no("w is empty");
  if (!is_vector_activation(activation_of(call))) {
    return Verdict::no("the exact gelu has no vector form");
  }
  for (size_t i : {in.gate, in.residual}) {
    if (has(call, i) && !is_vector_float(call.inputs[i]->dtype)) {
      return Verdict::no(
          fmt::format("gate or residual is {}, not f32 or bf16", name(call.inputs[i]->dtype)));
    }
  }
  if (has(call, in.gate) && has(call, in.residual) &&
      call.inputs[in.gate]->dtype != call.inputs[in.residual]->dtype) {
    return Verdict::no("gate and residual differ in type");
  }
  if (const auto spec = out_spec(call)) return supports_out_quant(call, *spec, in.out_scale);
  if (!is_vector_float(call.outputs[0].dtype)) {
    return Verdict::no(
        fmt::format("the output is {}, not f32 or bf16", name(call.outputs[0].dtype)));
  }
  return Verdict::yes();
}

size_t product_workspace(const Call& call, const KernelState* state) {
  const auto& product = static_cast<const ProductState&>(*state);
  make_gemm(call, product).warm();
  if (product.out.mode != OutMode::dynamic_tensor) return 0;
  return static_cast<size_t>(element_count(call.outputs[0].shape)) * sizeof(float);
}

void run_product(const Call& call, const Buffers& buffers, const ProductState& state,
                 const float* x_scale, int64_t x_scale_stride, const float* widened_x) {
  static constexpr float kOne = 1;
  const ProductInputs& in = state.inputs;
  const OutQuant& out = state.out;
  const int64_t rows = leading_rows(shape_of(call, in.x)), n = state.weights.n();
  const Gemm gemm = make_gemm(call, state);
  Epilogue e = make_epilogue(call, buffers, state, rows);
  e.x_scale = x_scale ? x_scale : e.w_scale ? &kOne : nullptr;
  e.x_scale_stride = x_scale ? x_scale_stride : 0;
  const void* x = state.x_is_widened ? widened_x : buffers.inputs[in.x];
  auto* scale = out.mode == OutMode::plain ? nullptr : static_cast<float*>(buffers.outputs[1]);
  switch (out.mode) {
    case OutMode::plain:
      return run_tiles(call, gemm, x, e, out);
    case OutMode::static_tensor:
      e.out_scale = static_cast<const float*>(buffers.inputs[in.out_scale]);
      *scale = *e.out_scale;
      return run_tiles(call, gemm, x, e, out);
    case OutMode::dynamic_row:
      return run_dynamic_rows(call, state.weights, gemm, x, e, out, buffers);
    case OutMode::dynamic_tensor:
      e.out = DType::f32;
      e.output = buffers.workspace;
      run_tiles(call, gemm, x, e, out);
      return quantize_rows(call, out, DType::f32, buffers.workspace, rows, n, nullptr,
                           buffers.outputs[0], scale);
  }
}

}  // namespace octavo::cpu
