// (code - zero_point) * scale, in f32: two roundings at most, as tensor/quantize.h has it.
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/scale_grid.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kCodes, kScale, kZeroPoint };

QuantSpec spec_of(const Call& call) { return QuantSpec::parse(call.attrs.get_string("spec")); }

MatrixView view_of(const Call& call) {
  return call.attrs.get_string_or("rows", "leading") == "first" ? MatrixView::weight
                                                                : MatrixView::activation;
}

Verdict supports(const Call& call) {
  if (call.outputs[0].dtype != DType::f32) return Verdict::no("the output is not f32");
  return supports_codes(call, spec_of(call), view_of(call), kCodes, kScale, kZeroPoint);
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const Shape& shape = shape_of(call, kCodes);
  const ScaleGrid grid(spec_of(call), shape, view_of(call), in[kScale], in[kZeroPoint]);
  const auto [rows, columns] = matrix_extents(shape, view_of(call));
  auto* out = static_cast<float*>(buffers.outputs[0]);
  for_rows(columns == 0 ? 0 : rows, columns, [&, cols = columns](int64_t row) {
    for (int64_t c = 0; c < cols; ++c) {
      const int64_t i = row * cols + c;
      out[i] = (in[kCodes][i] - grid.zero_point(row, c)) * grid.scale(row, c);
    }
  });
}

}  // namespace

const Kernel kDequantizeRef = {.name = "dequantize_ref",
                               .op = Op::dequantize,
                               .supports = supports,
                               .workspace = float_inputs_workspace,
                               .launch = launch};

}  // namespace octavo::cpu
