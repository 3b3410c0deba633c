#include "models/builder.h"

#include <algorithm>

#include "base/check.h"
#include "base/text.h"

namespace octavo {
namespace {

// What a checkpoint may store a parameter as. 8-bit floats without scales are a storage format of
// single-file checkpoints.
bool is_parameter_type(DType dtype) {
  constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16, DType::e4m3, DType::e5m2};
  return std::find(std::begin(kTypes), std::end(kTypes), dtype) != std::end(kTypes);
}

}  // namespace

Builder::Builder(std::string_view class_name, std::string_view method, const WeightStore* weights)
    : weights_(weights) {
  graph_.name = fmt::format("{}.{}", class_name, method);
}

Builder::Scope Builder::scope(std::string_view module) {
  const size_t length = path_.size();
  path_ = path(module);
  return Scope(*this, length);
}

std::string Builder::path(std::string_view name) const {
  if (path_.empty()) return std::string(name);
  if (name.empty() || name.front() == ':') return path_ + std::string(name);
  return fmt::format("{}.{}", path_, name);
}

ValueId Builder::input(std::string_view name, DType dtype, SymShape shape, Rate rate) {
  return graph_.add_input(name, dtype, std::move(shape), rate);
}

void check_parameter(const WeightStore& weights, const std::string& name, const Shape& expected) {
  const TensorType type = weights.type(name);
  OCTAVO_CHECK_FILE(type.shape == expected, "{}: tensor \"{}\" has shape {}, expected {}",
                    weights.where(name), printable(name), to_string(type.shape),
                    to_string(expected));
  OCTAVO_CHECK_FILE(is_parameter_type(type.dtype),
                    "{}: tensor \"{}\" is {}, expected one of: f32 f16 bf16 e4m3 e5m2",
                    weights.where(name), printable(name), octavo::name(type.dtype));
}

ValueId Builder::weight(std::string_view name, const Shape& expected) {
  const std::string full = path(name);
  if (weights_ == nullptr) return graph_.add_constant(full, Tensor::typed(DType::f32, expected));
  check_parameter(*weights_, full, expected);
  return graph_.add_constant(full, weights_->tensor(full));
}

ValueId Builder::linear(ValueId x, std::string_view name, int64_t in, int64_t out, bool bias) {
  if (const auto quantized = find_quantized(path(name))) {
    return quantized_linear(x, name, *quantized, in, out, bias);
  }
  std::vector<ValueId> operands{x, weight(fmt::format("{}.weight", name), {out, in})};
  if (bias) operands.push_back(weight(fmt::format("{}.bias", name), {out}));
  return op(Op::linear, std::move(operands), {}, name);
}

ValueId Builder::conv2d(ValueId x, std::string_view name, const Conv& conv) {
  const Shape kernel{conv.out, conv.in, conv.kernel, conv.kernel};
  const Attrs attrs{{"stride", conv.stride}, {"pads", conv.pads}};
  const std::string layer = path(name);
  const auto quantized = find_quantized(layer);
  if (!quantized) {
    const ValueId w = weight(fmt::format("{}.weight", name), kernel);
    const ValueId bias = weight(fmt::format("{}.bias", name), {conv.out});
    return op(Op::conv2d, {x, w, bias}, attrs, name);
  }
  const InputTransform& t = quantized->input;
  OCTAVO_CHECK_FILE(!t.shift.has_data() && !t.multiplier.has_data() && t.rotation == 0 &&
                        !quantized->low_rank_up.has_data(),
                    "{}: layer \"{}\" is a convolution; transforms are for linears",
                    weights_->where(layer + ".weight"), printable(layer));
  const ValueId w = quantized_weight(layer, quantized->weight, kernel);
  const ValueId input = quantized_input(x, layer, *quantized, "first");
  return op(Op::conv2d, {input, w, layer_bias(name, *quantized, conv.out, true)}, attrs, name);
}

ValueId Builder::rms_norm(ValueId x, std::string_view name, int64_t dim, double eps) {
  const ValueId w = weight(fmt::format("{}.weight", name), {dim});
  return op(Op::rms_norm, {x, w}, {{"eps", eps}}, name);
}

ValueId Builder::group_norm(ValueId x, std::string_view name, int64_t channels, int64_t groups,
                            double eps) {
  const ValueId w = weight(fmt::format("{}.weight", name), {channels});
  const ValueId b = weight(fmt::format("{}.bias", name), {channels});
  return op(Op::group_norm, {x, w, b}, {{"groups", groups}, {"eps", eps}}, name);
}

ValueId Builder::attention(ValueId q, ValueId k, ValueId v, double scale, ValueId bias) {
  Attrs attrs{{"scale", scale}};
  std::vector<ValueId> operands{q, k, v};
  const auto quantized = weights_ == nullptr ? std::nullopt : weights_->attention(path_);
  if (quantized) {
    const AttentionScheme& scheme = quantized->scheme;
    const auto value = [&](ValueId x, const QuantSpec& spec, const Tensor& x_scale,
                           const char* which) {
      const std::string scale_name = fmt::format("{}.{}_scale", path_, which);
      const bool is_static = spec.timing == QuantSpec::Timing::static_;
      return quantized_value(x, spec,
                             is_static ? graph_.add_constant(scale_name, x_scale) : kNoValue,
                             fmt::format("{}.attention.{}", path_, which), "leading");
    };
    operands = {value(q, scheme.q, quantized->q_scale, "q"),
                value(k, scheme.k, quantized->k_scale, "k"),
                value(v, scheme.v, quantized->v_scale, "v")};
    if (!scheme.weights.empty()) attrs.set("weights", scheme.weights);
  }
  if (bias != kNoValue) operands.push_back(bias);
  return op(Op::attention, std::move(operands), std::move(attrs), "attention");
}

ValueId Builder::op(Op op, std::vector<ValueId> inputs, Attrs attrs, std::string_view name) {
  return op_multi(op, std::move(inputs), std::move(attrs), name).front();
}

std::vector<ValueId> Builder::op_multi(Op op, std::vector<ValueId> inputs, Attrs attrs,
                                       std::string_view name) {
  return graph_.add_multi(op, std::move(inputs), std::move(attrs), path(name));
}

ValueId Builder::reshape(ValueId x, SymShape shape, std::string_view name) {
  return op(Op::reshape, {x}, {{"shape", std::move(shape)}}, name);
}

ValueId Builder::slice(ValueId x, int64_t axis, Dim begin, Dim end, std::string_view name) {
  const Attrs attrs{{"axis", axis}, {"begin", std::move(begin)}, {"end", std::move(end)}};
  return op(Op::slice, {x}, attrs, name);
}

ValueId Builder::gelu_tanh(ValueId x, std::string_view name) {
  return op(Op::gelu, {x}, {{"approximate", std::string("tanh")}}, name);
}

void Builder::tap(ValueId value, std::string_view name) { reshape(value, shape(value), name); }

Graph Builder::take() {
  verify(graph_, "building " + graph_.name);
  return std::move(graph_);
}

}  // namespace octavo
