#include <algorithm>

#include "octavo/quant_spec.h"
#include "passes/hoist.h"

namespace octavo {
namespace {

class BatchCheck {
 public:
  BatchCheck(const Graph& graph, std::string_view symbol)
      : graph_(graph), symbol_(symbol), batch_(Dim::symbol(symbol)) {}

  bool run() const {
    for (ValueId id : graph_.inputs()) {
      const Value& v = graph_.value(id);
      const bool changes = join(v.rate, Rate::request) != Rate::request;
      if (changes ? !is_stacked(id) : mentions(id) && !is_stacked(id)) return false;
    }
    const auto stacked = [this](const Graph::Output& output) { return is_stacked(output.value); };
    return std::all_of(graph_.nodes().begin(), graph_.nodes().end(),
                       [this](const Node& node) { return is_parallel(node); }) &&
           std::all_of(graph_.outputs().begin(), graph_.outputs().end(), stacked);
  }

 private:
  const SymShape& shape(ValueId id) const { return graph_.value(id).type.shape; }

  bool mentions(const Dim& dim) const { return !(dim.substitute({{symbol_, 1}}) == dim); }
  bool mentions(ValueId id) const {
    return std::any_of(shape(id).begin(), shape(id).end(),
                       [this](const Dim& dim) { return mentions(dim); });
  }

  // The symbol times something without it on axis 0, and no symbol elsewhere: one equal block of
  // rows per index of the batch.
  bool is_stacked(ValueId id) const {
    const SymShape& s = shape(id);
    if (s.empty() || !(s[0] == batch_ * s[0].substitute({{symbol_, 1}}))) return false;
    return mentions(s[0]) &&
           std::none_of(s.begin() + 1, s.end(), [this](const Dim& dim) { return mentions(dim); });
  }

  bool is_parallel(const Node& node) const {
    bool any = false;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue || !mentions(node.inputs[i])) continue;
      if (!is_stacked(node.inputs[i]) || !is_batched_operand(node, i)) return false;
      any = true;
    }
    const auto allowed = [this](ValueId id) { return !mentions(id) || is_stacked(id); };
    if (!std::all_of(node.outputs.begin(), node.outputs.end(), allowed)) return false;
    if (!any) return node.op == Op::expand || !mentions(node.outputs[0]);
    return info(node.op).batch_parallel && is_stacked(node.outputs[0]) && keeps_rows(node);
  }

  // Operands whose axis 0 is the batch; weights, tables and angles are shared by all.
  static bool is_batched_operand(const Node& node, size_t i) {
    switch (node.op) {
      case Op::linear:
        return i == 0 || i == 3 || i == 4;
      case Op::conv2d:
        return i == 0 || i == 3;
      case Op::embedding:
        return i == 1;
      case Op::step_scale:
        return i == 0;
      case Op::quantized_linear:
        return i == 0 || i == 1 || i == 6 || i == 7;
      case Op::quantized_conv2d:
        return i == 0 || i == 1 || i == 6;
      case Op::rms_norm:
      case Op::layer_norm:
      case Op::group_norm:
      case Op::rope:
      case Op::qk_norm_rope:
        return i == 0;
      default:
        return true;
    }
  }

  // What attributes say: no op may mix or move rows of axis 0.
  bool keeps_rows(const Node& node) const {
    switch (node.op) {
      case Op::rms_norm:
      case Op::layer_norm:
      case Op::hadamard:
        return shape(node.inputs[0]).size() >= 2;
      case Op::add:
      case Op::sub:
      case Op::mul:
      case Op::div:
        return is_aligned(node);
      case Op::concat:
        return node.attrs.get_int("axis") != 0;
      case Op::slice:
        return keeps_rows_of_slice(node);
      case Op::transpose:
        return node.attrs.get_ints("perm")[0] == 0;
      case Op::quantize:
        return is_per_row(node, "spec");
      default:
        return is_per_row(node, "out_spec");
    }
  }

  bool keeps_rows_of_slice(const Node& node) const {
    if (node.attrs.get_int("axis") == 0)
      return shape(node.outputs[0])[0] == shape(node.inputs[0])[0];
    return !mentions(node.attrs.get_dim("begin")) && !mentions(node.attrs.get_dim("end"));
  }

  // Operands of lower rank than the result have their axis 0 elsewhere.
  bool is_aligned(const Node& node) const {
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
      return !mentions(id) || shape(id).size() == shape(node.outputs[0]).size();
    });
  }

  // A dynamic scale over several rows would see several steps.
  static bool is_per_row(const Node& node, const char* key) {
    if (!node.attrs.has(key)) return true;
    const QuantSpec spec = QuantSpec::parse(node.attrs.get_string(key));
    return spec.timing == QuantSpec::Timing::static_ ||
           (spec.tile_rows == 1 && !spec.has_tensor_scale());
  }

  const Graph& graph_;
  std::string symbol_;
  Dim batch_;
};

}  // namespace

bool batch_parallel(const Graph& graph, std::string_view symbol) {
  return BatchCheck(graph, symbol).run();
}

}  // namespace octavo
