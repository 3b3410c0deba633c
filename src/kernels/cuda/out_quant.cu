// The host's side of out_quant.cuh.
#include "kernels/cuda/out_quant.cuh"

#include "tensor/quantize.h"

namespace octavo::cuda {
namespace {

QuantSpec out_spec(const Call& call) { return QuantSpec::parse(call.attrs.get_string("out_spec")); }

QuantMode mode_of(const QuantSpec& spec, const QuantTarget& target) {
  const bool one_scale = target.tiles_down * target.tiles_across == 1;
  if (target.is_static) return one_scale ? QuantMode::given : QuantMode::tiles;
  if (spec.tile_rows == 1 && target.tiles_across == 1) return QuantMode::row;
  return one_scale ? QuantMode::tensor : QuantMode::tiles;
}

}  // namespace

Verdict supports_quant(const Call& call, const QuantSpec& spec, size_t scale_input) {
  if (spec.zero_point) return Verdict::no("activations have no zero point here");
  const bool is_static = spec.timing == QuantSpec::Timing::static_;
  if (is_static != has(call, scale_input)) {
    return Verdict::no(is_static ? "a static spec needs its scale as input"
                                 : "a dynamic spec takes no scale input");
  }
  if (call.outputs.size() != 2 || call.outputs[0].dtype != *find_dtype(spec.format) ||
      call.outputs[1].dtype != DType::f32) {
    return Verdict::no("the outputs are not codes of " + spec.text() + " and an f32 scale");
  }
  if (is_static && (dtype_of(call, scale_input) != DType::f32 ||
                    shape_of(call, scale_input) != call.outputs[1].shape)) {
    return Verdict::no("the given scale is " + std::string(name(dtype_of(call, scale_input))) +
                       to_string(shape_of(call, scale_input)) + ", not f32" +
                       to_string(call.outputs[1].shape));
  }
  return Verdict::yes();
}

Verdict supports_out_quant(const Call& call, size_t scale_input) {
  if (call.attrs.has("out_spec")) return supports_quant(call, out_spec(call), scale_input);
  if (is_compute_type(call.outputs[0].dtype)) return Verdict::yes();
  return Verdict::no("the output is " + std::string(name(call.outputs[0].dtype)) +
                     ", not f32, f16 or bf16");
}

QuantTarget quant_target(const Call& call, const Buffers* buffers, const QuantSpec& spec,
                         bool rows_first, size_t scale_input, void* largest) {
  const Shape& shape = call.outputs[0].shape;
  const auto [rows, cols] =
      matrix_extents(shape, rows_first ? MatrixView::weight : MatrixView::activation);
  const auto scales = spec.scale_shape(rows, cols);
  QuantTarget target;
  target.format = *find_dtype(spec.format);
  target.scale_format = *find_dtype(spec.scale);
  target.top = top_code(spec);
  target.rows = rows, target.cols = cols;
  target.pitch = call.outputs[0].row_pitch ? call.outputs[0].row_pitch : cols;
  target.tile_rows = std::max<int64_t>(1, spec.tile_rows ? spec.tile_rows : rows);
  target.tile_cols = std::max<int64_t>(1, spec.tile_cols ? spec.tile_cols : cols);
  target.tiles_down = scales[0], target.tiles_across = scales[1];
  target.run = info(target.format).bits < 8 && !shape.empty() ? shape.back() : cols;
  target.is_static = spec.timing == QuantSpec::Timing::static_;
  target.mode = mode_of(spec, target);
  if (!buffers) return target;
  if (target.is_static) target.given = static_cast<const float*>(buffers->inputs[scale_input]);
  target.codes = static_cast<uint8_t*>(buffers->outputs[0]);
  target.scale = static_cast<float*>(buffers->outputs[1]);
  target.largest = static_cast<uint32_t*>(largest);
  target.not_finite = not_finite_flag(call);
  return target;
}

size_t out_quant_workspace(const Call& call) {
  if (!call.attrs.has("out_spec")) return 0;
  const QuantTarget target = quant_target(call, nullptr, out_spec(call), false, 0, nullptr);
  const auto staged = static_cast<size_t>(target.rows * target.cols) * sizeof(float);
  return kLargestBytes + (target.is_fused() ? 0 : staged);
}

OutQuant begin_out_quant(const Call& call, const Buffers& buffers, size_t scale_input,
                         void* workspace) {
  OutQuant out;
  if (!call.attrs.has("out_spec")) return out;
  out.target = quant_target(call, &buffers, out_spec(call), false, scale_input, workspace);
  if (!out.target.is_fused()) {
    out.staged = reinterpret_cast<float*>(static_cast<std::byte*>(workspace) + kLargestBytes);
  } else if (out.target.mode == QuantMode::tensor) {
    check(cudaMemsetAsync(workspace, 0, sizeof(*out.target.largest), stream_of(call)),
          call.name.c_str());
  }
  return out;
}

void finish_out_quant(const Call& call, const OutQuant& out) {
  if (out.staged) quantize_matrix(call, out.target, out.staged, DType::f32);
}

}  // namespace octavo::cuda
