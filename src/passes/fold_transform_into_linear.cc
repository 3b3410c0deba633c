// What a product's result is shifted and multiplied by, into its constants:
//   h = linear(x, w, b); y = sub(h, mu)   ->   y = linear(x, w, b - mu)
//   h = linear(x, w, b); y = mul(h, m)    ->   y = linear(x, diag(m) w, b m)
// for constants mu, m [N] and a product that nothing else reads, without epilogue. A shift folds
// into a quantized product's bias too (its bias is float); a multiplier needs a float weight.
#include <algorithm>

#include "passes/operands.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

bool has_data(const Graph& graph, ValueId id) {
  return graph.value(id).constant && graph.value(id).constant->has_data();
}

// f(element, its channel) of a tensor whose axis 0 is the channel, in f32.
template <class F>
Tensor per_channel(const Tensor& tensor, const F& f) {
  std::vector<float> values = tensor.to_floats();
  const size_t row = values.size() / static_cast<size_t>(tensor.dim(0));
  for (size_t i = 0; i < values.size(); ++i) values[i] = f(values[i], i / row);
  return Tensor::from(values, tensor.shape());
}

class Folder {
 public:
  Folder(const Graph& graph, Op op) : graph_(graph), pattern_(graph), op_(op) {}

  Graph run() {
    const auto is_match = [this](const Node& node) { return node.op == op_ && match(node); };
    const std::vector<Node>& nodes = graph_.nodes();
    if (std::none_of(nodes.begin(), nodes.end(), is_match)) return graph_;
    return rewrite_nodes(graph_, [&](GraphRebuilder& rebuilder, const Node& node) {
      const Node* product = node.op == op_ ? match(node) : nullptr;
      if (!product) return false;
      fold(rebuilder, node, *product);
      return true;
    });
  }

 private:
  const Node* match(const Node& node) const {
    const Node* product = pattern_.made_by(node.inputs[0], {Op::linear, Op::quantized_linear});
    if (!product || !pattern_.vanishes(node.inputs[0])) return nullptr;
    const ProductOperands at = product_operands(product->op);
    const auto absent = [&](int i) { return product->inputs[static_cast<size_t>(i)] == kNoValue; };
    const ValueId bias = product->inputs[static_cast<size_t>(at.bias)];
    const bool plain = absent(at.gate) && absent(at.residual) && !product->attrs.has("out_spec") &&
                       product->attrs.get_string_or("activation", "none") == "none";
    const bool known = has_data(graph_, node.inputs[1]) &&
                       (bias == kNoValue || has_data(graph_, bias)) &&
                       graph_.value(node.inputs[1]).type.shape ==
                           SymShape{pattern_.type(node.inputs[0]).shape.back()};
    const bool weight =
        op_ == Op::sub || (product->op == Op::linear && has_data(graph_, product->inputs[1]));
    return plain && known && weight ? product : nullptr;
  }

  void fold(GraphRebuilder& rebuilder, const Node& node, const Node& product) const {
    const std::vector<float> constant = graph_.value(node.inputs[1]).constant->to_floats();
    const size_t at = static_cast<size_t>(product_operands(product.op).bias);
    std::vector<ValueId> inputs = map_all(rebuilder, product.inputs);
    const auto put = [&](size_t operand, const std::string& base, const Tensor& tensor) {
      inputs[operand] =
          rebuilder.graph().add_constant(fresh_name(graph_, rebuilder.graph(), base), tensor);
    };
    const auto folded = [&](float v, size_t channel) {
      return op_ == Op::sub ? v - constant[channel] : v * constant[channel];
    };
    const ValueId bias = product.inputs[at];
    const std::string& name = graph_.value(node.outputs[0]).name;
    if (bias != kNoValue) {
      put(at, name + ".bias", per_channel(*graph_.value(bias).constant, folded));
    } else if (op_ == Op::sub) {
      const auto channels = static_cast<int64_t>(constant.size());
      put(at, name + ".bias", per_channel(Tensor::zeros(DType::f32, {channels}), folded));
    }
    if (op_ == Op::mul) {
      const Value& weight = graph_.value(product.inputs[1]);
      put(1, name + ".weight", per_channel(*weight.constant, folded));
    }
    replace(rebuilder, graph_, node, product.op, inputs, product.attrs);
  }

  const Graph& graph_;
  Pattern pattern_;
  Op op_;
};

}  // namespace

Graph fold_transform_into_linear(const Graph& graph) {
  return dead_code(Folder(Folder(graph, Op::sub).run(), Op::mul).run());
}

}  // namespace octavo
