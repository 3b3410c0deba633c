#include "kernels/cpu/ref/fused_output.h"

#include "base/check.h"
#include "kernels/cpu/ref/quantize_matrix.h"

namespace octavo::cpu {

std::optional<QuantSpec> out_spec(const Call& call) {
  if (!call.attrs.has("out_spec")) return std::nullopt;
  return QuantSpec::parse(call.attrs.get_string("out_spec"));
}

Verdict supports_fused_output(const Call& call, size_t scale_input) {
  const auto spec = out_spec(call);
  if (!spec) return compute_outputs(call);
  return supports_quantized_output(call, *spec, scale_input);
}

void count_fused_output(const Call& call, Arena& arena) {
  if (call.attrs.has("out_spec")) arena.take<float>(element_count(call.outputs[0].shape));
}

FusedOutput::FusedOutput(const Call& call, const Buffers& buffers, size_t scale_input, Arena& arena)
    : call_(call), buffers_(buffers), scale_input_(scale_input), plain_(call, buffers) {
  if (call.attrs.has("out_spec")) rows_ = arena.take<float>(element_count(call.outputs[0].shape));
}

void FusedOutput::finish() const {
  if (!rows_) return;
  quantize_matrix(call_, *out_spec(call_), MatrixView::activation, rows_,
                  has(call_, scale_input_) ? buffers_.inputs[scale_input_] : nullptr, buffers_);
}

Verdict supports_activation(const Call& call) {
  const std::string text = call.attrs.get_string_or("activation", "none");
  if (find_activation(text)) return Verdict::yes();
  return Verdict::no(
      fmt::format("activation \"{}\" is not one of none, silu, gelu_tanh, gelu", text));
}

Activation activation_of(const Call& call) {
  return *find_activation(call.attrs.get_string_or("activation", "none"));
}

}  // namespace octavo::cpu
