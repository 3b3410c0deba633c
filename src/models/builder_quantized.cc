// How quantized layers are built. A linear, with what is there of it:
//   x' = hadamard((x - shift) multiplier)
//   y = linear(dequantize(quantize(x')), dequantize(codes, scale), bias) + linear(linear(x', down),
//   up)
#include <bit>

#include "base/check.h"
#include "base/text.h"
#include "models/builder.h"

namespace octavo {

std::optional<QuantizedLayer> Builder::find_quantized(const std::string& layer) const {
  if (weights_ == nullptr || !weights_->contains(layer + ".weight")) return std::nullopt;
  return weights_->quantized(layer);
}

ValueId Builder::part(const std::string& name, const Tensor& tensor, const Shape& expected) {
  OCTAVO_CHECK_FILE(tensor.shape() == expected, "{}: tensor \"{}\" has shape {}, expected {}",
                    weights_->where(name), printable(name), to_string(tensor.shape()),
                    to_string(expected));
  return graph_.add_constant(name, tensor);
}

ValueId Builder::quantized_weight(const std::string& layer, const QuantizedTensor& weight,
                                  const Shape& expected) {
  const std::string name = layer + ".weight";
  // In graphs a scale is of one level; how it was found is of no account any more.
  QuantSpec spec = weight.spec;
  if (spec.scale == "mx") spec.scale = "e8m0";
  if (spec.has_tensor_scale()) spec.scale = "f32";
  const Tensor scale = weight.tensor_scale.has_data() ? whole_scale(weight) : weight.scale;
  OCTAVO_CHECK_FILE(weight.codes.shape() == expected,
                    "{}: codes of \"{}\" have shape {}, expected {}", weights_->where(name),
                    printable(name), to_string(weight.codes.shape()), to_string(expected));
  std::vector<ValueId> operands{graph_.add_constant(name, weight.codes),
                                graph_.add_constant(layer + ".weight_scale", scale)};
  if (weight.spec.zero_point) {
    operands.push_back(graph_.add_constant(layer + ".weight_zero_point", weight.zero_point));
  }
  const Attrs attrs{
      {"spec", spec.text()}, {"rows", std::string("first")}, {"shape", symbolic(expected)}};
  return graph_.add(Op::dequantize, std::move(operands), attrs, name + ".dequantized");
}

ValueId Builder::quantized_value(ValueId x, const QuantSpec& spec, ValueId scale,
                                 const std::string& name, std::string_view rows) {
  std::vector<ValueId> operands{x};
  if (scale != kNoValue) operands.push_back(scale);
  const Attrs attrs{{"spec", spec.text()}, {"rows", std::string(rows)}};
  std::vector<ValueId> codes = graph_.add_multi(Op::quantize, std::move(operands), attrs, name);
  Attrs back = attrs;
  back.set("shape", shape(x));
  return graph_.add(Op::dequantize, std::move(codes), back, name + ".dequantized");
}

// With one scale a step: that of the present one. All samples of a batch are at the same step; the
// first decides. Choosing is done for all steps at once, and taking the first row is a view.
ValueId Builder::input_scale(const std::string& layer, const QuantizedLayer& quantized) {
  const std::string name = layer + ".input_scale";
  if (!quantized.input_steps.has_data()) return part(name, quantized.input_scale, {1, 1});
  OCTAVO_CHECK_FILE(timestep_ != kNoValue,
                    "{}: layer \"{}\" has one input scale a step, but {} is given no timestep",
                    weights_->where(layer + ".weight"), printable(layer), graph_.name);
  const int64_t count = quantized.input_steps.elements();
  const ValueId steps = part(layer + ".input_steps", quantized.input_steps, {count});
  const ValueId values = part(name, quantized.input_scale, {count, 1});
  const ValueId samples =
      graph_.add(Op::step_scale, {timestep_, steps, values}, {}, name + ".of_samples");
  const Attrs first{{"axis", int64_t{0}}, {"begin", Dim(0)}, {"end", Dim(1)}};
  return graph_.add(Op::slice, {samples}, first, name + ".present");
}

ValueId Builder::quantized_input(ValueId x, const std::string& layer,
                                 const QuantizedLayer& quantized, std::string_view rows) {
  if (!quantized.activation) return x;
  const bool is_static = quantized.activation->timing == QuantSpec::Timing::static_;
  const ValueId scale = is_static ? input_scale(layer, quantized) : kNoValue;
  return quantized_value(x, *quantized.activation, scale, layer + ".input", rows);
}

ValueId Builder::transformed(ValueId x, const std::string& layer, const InputTransform& t) {
  const int64_t width = shape(x).back().value();
  if (t.shift.has_data()) {
    x = graph_.add(Op::sub, {x, part(layer + ".input_shift", t.shift, {width})}, {},
                   layer + ".input.shifted");
  }
  if (t.multiplier.has_data()) {
    x = graph_.add(Op::mul, {x, part(layer + ".input_multiplier", t.multiplier, {width})}, {},
                   layer + ".input.scaled");
  }
  if (t.rotation == 0) return x;
  return graph_.add(Op::hadamard, {x}, {{"block", t.rotation}}, layer + ".input.rotated");
}

ValueId Builder::layer_bias(std::string_view name, const QuantizedLayer& quantized, int64_t out,
                            bool bias) {
  if (quantized.bias.has_data()) {
    return part(path(fmt::format("{}.bias", name)), quantized.bias, {out});
  }
  return bias ? weight(fmt::format("{}.bias", name), {out}) : kNoValue;
}

ValueId Builder::low_rank(ValueId x, const std::string& layer, const QuantizedLayer& quantized,
                          int64_t in, int64_t out) {
  const int64_t rank = quantized.low_rank_down.dim(0);
  const ValueId down = part(layer + ".low_rank_down", quantized.low_rank_down, {rank, in});
  const ValueId up = part(layer + ".low_rank_up", quantized.low_rank_up, {out, rank});
  const ValueId inner = graph_.add(Op::linear, {x, down}, {}, layer + ".low_rank.inner");
  return graph_.add(Op::linear, {inner, up}, {}, layer + ".low_rank");
}

ValueId Builder::quantized_linear(ValueId x, std::string_view name, const QuantizedLayer& quantized,
                                  int64_t in, int64_t out, bool bias) {
  const std::string layer = path(name);
  const ValueId w = quantized_weight(layer, quantized.weight, {out, in});
  const ValueId ready = transformed(x, layer, quantized.input);
  std::vector<ValueId> operands{quantized_input(ready, layer, quantized, "leading"), w};
  const ValueId b = layer_bias(name, quantized, out, bias);
  if (b != kNoValue) operands.push_back(b);
  if (!quantized.low_rank_up.has_data()) return op(Op::linear, std::move(operands), {}, name);
  const ValueId rounded = graph_.add(Op::linear, std::move(operands), {}, layer + ".rounded");
  return graph_.add(Op::add, {low_rank(ready, layer, quantized, in, out), rounded}, {}, layer);
}

}  // namespace octavo
