// What a built graph says about its layers and parameters.
#include <algorithm>
#include <iterator>
#include <set>

#include "base/check.h"
#include "models/models.h"

namespace octavo {
namespace {

constexpr std::string_view kWeight = ".weight";

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// Steps over dequantize and quantize, so that a quantized layer shows its codes and its float
// input.
ValueId through(const Graph& graph, ValueId id, Op op) {
  const NodeId producer = graph.value(id).producer;
  if (producer < 0 || graph.node(producer).op != op) return id;
  return graph.node(producer).inputs[0];
}

Dim node_flops(const Graph& graph, const Node& node) {
  std::vector<std::optional<ValueType>> inputs;
  for (ValueId id : node.inputs) {
    inputs.push_back(id == kNoValue ? std::nullopt : std::optional(graph.value(id).type));
  }
  std::vector<ValueType> outputs;
  for (ValueId id : node.outputs) outputs.push_back(graph.value(id).type);
  return info(node.op).flops(inputs, outputs, node.attrs);
}

// Steps over what a quantized linear's input goes through before it is rounded.
ValueId before_transform(const Graph& graph, ValueId id, const std::string& layer) {
  const auto is_part = [&](const Node& node, const char* suffix) {
    return graph.value(node.inputs[1]).name == layer + suffix;
  };
  id = through(graph, id, Op::hadamard);
  for (const auto& [op, suffix] :
       {std::pair{Op::mul, ".input_multiplier"}, std::pair{Op::sub, ".input_shift"}}) {
    const NodeId producer = graph.value(id).producer;
    if (producer < 0 || graph.node(producer).op != op) continue;
    if (is_part(graph.node(producer), suffix)) id = graph.node(producer).inputs[0];
  }
  return id;
}

// What comes with a layer's quantization stands for no tensor of the model's checkpoint.
bool is_parameter(const Value& value) {
  constexpr std::string_view kQuantization[] = {
      ".weight_scale",  ".weight_zero_point", ".input_scale", ".input_steps",
      ".input_shift",   ".input_multiplier",  ".q_scale",     ".k_scale",
      ".low_rank_down", ".low_rank_up",       ".v_scale"};
  return value.constant &&
         std::none_of(std::begin(kQuantization), std::end(kQuantization),
                      [&](std::string_view end) { return ends_with(value.name, end); });
}

}  // namespace

std::vector<QuantizableLayer> quantizable_layers(const Graph& graph) {
  std::vector<QuantizableLayer> layers;
  for (const Node& node : graph.nodes()) {
    if (node.op != Op::linear && node.op != Op::conv2d) continue;
    const Value& weight = graph.value(through(graph, node.inputs[1], Op::dequantize));
    if (!weight.constant || !ends_with(weight.name, kWeight)) continue;
    const std::string name = weight.name.substr(0, weight.name.size() - kWeight.size());
    const ValueId input = before_transform(
        graph, through(graph, through(graph, node.inputs[0], Op::dequantize), Op::quantize), name);
    layers.push_back({name, node.op, weight.constant->shape(), weight.constant->dtype(),
                      graph.value(node.outputs[0]).rate, node_flops(graph, node),
                      graph.value(input).name});
  }
  return layers;
}

std::vector<QuantizableAttention> quantizable_attentions(const Graph& graph) {
  constexpr std::string_view kName = ".attention";
  std::vector<QuantizableAttention> attentions;
  for (const Node& node : graph.nodes()) {
    if (node.op != Op::attention) continue;
    const Value& result = graph.value(node.outputs[0]);
    if (!ends_with(result.name, kName)) continue;
    const auto operand = [&](size_t i) {
      const ValueId value =
          through(graph, through(graph, node.inputs[i], Op::dequantize), Op::quantize);
      return graph.value(value).name;
    };
    attentions.push_back({result.name.substr(0, result.name.size() - kName.size()), result.rate,
                          node_flops(graph, node), operand(0), operand(1), operand(2)});
  }
  return attentions;
}

int64_t parameter_count(const Graph& graph) {
  int64_t count = 0;
  for (const Value& value : graph.values()) {
    if (is_parameter(value)) count += value.constant->elements();
  }
  return count;
}

int64_t parameter_count(const Family& family, const Config& config) {
  std::set<std::string> seen;
  int64_t count = 0;
  for (const char* method : family.methods) {
    const Graph graph = family.build(config, nullptr, method);
    for (const Value& value : graph.values()) {
      if (is_parameter(value) && seen.insert(value.name).second) {
        count += value.constant->elements();
      }
    }
  }
  return count;
}

}  // namespace octavo
