// Computes in bf16 or f16 instead of f32:
//   y = f(x, w)   ->   x' = cast(x); y' = f(x', w')          w' converted once
// Inputs and outputs of the graph keep their types. What must stay exact stays f32 with all that
// leads to it through element-wise and movement ops: timesteps, positions and their sinusoids,
// attention's bias and mask, scales of quantization. Codes stay codes; a dequantize gives f32 and
// is cast (fuse_quantized sees through that).
#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"
#include "passes/operands.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace octavo {
namespace {

bool is_compute_type(DType type) {
  return type == DType::f32 || type == DType::bf16 || type == DType::f16;
}

// Ops through which exactness of the result asks for exactness of the operands.
bool is_transparent(Op op) {
  switch (op) {
    case Op::silu:
    case Op::gelu:
    case Op::add:
    case Op::sub:
    case Op::mul:
    case Op::div:
    case Op::affine:
    case Op::clamp:
    case Op::cast:
    case Op::reshape:
    case Op::transpose:
    case Op::concat:
    case Op::slice:
    case Op::expand:
    case Op::embedding:
    case Op::relative_position_bias:
      return true;
    default:
      return false;
  }
}

// Which values keep their type because some use needs them exact.
std::vector<bool> exact_values(const Graph& graph) {
  std::vector<bool> exact(graph.values().size(), false);
  for (size_t n = graph.nodes().size(); n-- > 0;) {
    const Node& node = graph.nodes()[n];
    const bool whole = is_transparent(node.op) && exact[static_cast<size_t>(node.outputs[0])];
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue) continue;
      const OperandKind kind = operand_kind(node.op, i);
      const bool needed = kind == OperandKind::exact || kind == OperandKind::scale ||
                          (whole && kind == OperandKind::compute);
      if (needed) exact[static_cast<size_t>(node.inputs[i])] = true;
    }
  }
  return exact;
}

class Lowering {
 public:
  Lowering(const Graph& graph, DType type)
      : graph_(graph), type_(type), exact_(exact_values(graph)), rebuilder_(graph) {}

  Graph run() {
    for (const Node& node : graph_.nodes()) {
      if (!skip_cast(node)) lower(node);
    }
    for (const Graph::Output& output : graph_.outputs()) {
      rebuilder_.set(output.value, in_type(output.value, source_type(output.value)));
    }
    return without_dead_code(rebuilder_.finish());
  }

 private:
  DType source_type(ValueId id) const { return graph_.value(id).type.dtype; }
  bool is_exact(ValueId id) const { return exact_[static_cast<size_t>(id)]; }

  // A cast between compute types has nothing left to do.
  bool skip_cast(const Node& node) {
    if (node.op != Op::cast || is_exact(node.outputs[0])) return false;
    const ValueId x = node.inputs[0], y = node.outputs[0];
    if (!is_compute_type(source_type(x)) || !is_compute_type(source_type(y))) return false;
    rebuilder_.set(y, in_type(x, type_));
    return true;
  }

  void lower(const Node& node) {
    const bool exact = is_transparent(node.op) && is_exact(node.outputs[0]);
    std::vector<ValueId> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId id = node.inputs[i];
      if (id == kNoValue) {
        inputs.push_back(kNoValue);
      } else if (operand_kind(node.op, i) == OperandKind::shape_only) {
        inputs.push_back(in_type(id, type_));
      } else {
        const bool keep = exact || operand_kind(node.op, i) != OperandKind::compute;
        inputs.push_back(in_type(id, keep ? source_type(id) : type_));
      }
    }
    Attrs attrs = node.attrs;
    if (attrs.has("x_spec") || attrs.has("q_spec")) attrs.set("to", std::string(name(type_)));
    replace(rebuilder_, graph_, node, node.op, std::move(inputs), attrs);
  }

  // The new id of a source value in this type; values that are not floats of compute stay.
  ValueId in_type(ValueId id, DType type) {
    if (!is_compute_type(source_type(id))) return rebuilder_.map(id);
    const std::optional<Tensor>& constant = graph_.value(id).constant;
    if (constant && source_type(id) != type) return converted(id, type);
    const ValueId mapped = rebuilder_.map(id);
    if (rebuilder_.graph().value(mapped).type.dtype == type) return mapped;
    ValueId& known = cast_.try_emplace({mapped, type}, kNoValue).first->second;
    if (known == kNoValue) {
      known = rebuilder_.graph().add(Op::cast, {mapped}, {{"to", std::string(name(type))}},
                                     typed_name(id, type));
    }
    return known;
  }

  ValueId converted(ValueId id, DType type) {
    ValueId& known = cast_.try_emplace({-2 - id, type}, kNoValue).first->second;
    if (known == kNoValue) {
      const Tensor& source = *graph_.value(id).constant;
      // The name is free unless some exact use keeps the constant as it was.
      const std::string free = is_exact(id) ? typed_name(id, type) : graph_.value(id).name;
      known = rebuilder_.graph().add_constant(
          free, source.has_data() ? source.to(type) : Tensor::typed(type, source.shape()));
    }
    return known;
  }

  std::string typed_name(ValueId id, DType type) {
    return fresh_name(graph_, rebuilder_.graph(),
                      fmt::format("{}.{}", graph_.value(id).name, name(type)));
  }

  const Graph& graph_;
  DType type_;
  std::vector<bool> exact_;
  GraphRebuilder rebuilder_;
  // By new id, or -2 - source id for constants.
  std::map<std::pair<ValueId, DType>, ValueId> cast_;
};

}  // namespace

Graph lower_precision(const Graph& graph, DType type) {
  OCTAVO_CHECK(is_compute_type(type), "compute type {} is not one of f32, bf16, f16", name(type));
  return Lowering(graph, type).run();
}

}  // namespace octavo
