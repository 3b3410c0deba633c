#include "plan/views.h"

#include <algorithm>

#include "base/check.h"

namespace octavo {
namespace {

// Kernels may count on it (kernel.h).
constexpr size_t kAlignment = 64;

size_t bytes_of(const Operand& operand) {
  return Tensor::typed(operand.dtype, operand.shape).bytes();
}

// Rows of packed types are padded, so only types of whole bytes can be seen in another shape.
bool has_whole_bytes(const Operand& operand) { return info(operand.dtype).bits % 8 == 0; }

// Do indices of the axis follow each other in memory, with nothing in between?
bool is_outermost(const Shape& shape, int64_t axis) {
  return std::all_of(shape.begin(), shape.begin() + axis, [](int64_t dim) { return dim == 1; });
}

// Bytes of one index of the axis.
size_t stride_of(const Operand& operand, int64_t axis) {
  size_t bytes = static_cast<size_t>(info(operand.dtype).bits) / 8;
  for (size_t i = static_cast<size_t>(axis) + 1; i < operand.shape.size(); ++i) {
    bytes *= static_cast<size_t>(operand.shape[i]);
  }
  return bytes;
}

// Of what row_pitch calls a row (kernel.h).
int64_t row_elements(const Call& call) {
  const Shape& shape = call.outputs[0].shape;
  const bool has_heads = call.op == Op::attention || call.op == Op::quantized_attention;
  const size_t axes = has_heads ? 2 : 1;
  int64_t elements = 1;
  for (size_t i = shape.size() - std::min(axes, shape.size()); i < shape.size(); ++i) {
    elements *= shape[i];
  }
  return elements;
}

}  // namespace

Views::Views(const Graph& graph, std::set<ValueId> kept, bool join, WriteApart write_apart)
    : graph_(graph),
      kept_(std::move(kept)),
      join_(join),
      write_apart_(std::move(write_apart)),
      places_(graph.values().size()),
      made_(graph.values().size(), false),
      row_elements_(graph.values().size(), 0),
      bytes_(graph.values().size(), 0) {
  for (size_t v = 0; v < places_.size(); ++v) places_[v].root = static_cast<ValueId>(v);
}

bool Views::take(NodeId id, const Call& call) {
  const Node& node = graph_.node(id);
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    bytes_[index(node.outputs[k])] = bytes_of(call.outputs[k]);
  }
  const bool can_be_seen = has_whole_bytes(call.outputs[0]);
  if (can_be_seen && call.op == Op::reshape) {
    places_[index(node.outputs[0])] = places_[index(node.inputs[0])];
    return true;
  }
  if (can_be_seen && call.op == Op::slice && take_part(node, call)) return true;
  for (const ValueId v : node.outputs) made_[index(v)] = true;
  if (can_be_seen && join_ && call.op == Op::concat) {
    if (take_join(node, call) || take_rows(id, call)) return true;
  }
  row_elements_[index(node.outputs[0])] = row_elements(call);
  return false;
}

bool Views::take_part(const Node& node, const Call& call) {
  const int64_t axis = call.attrs.get_int("axis");
  const Operand& whole = *call.inputs[0];
  if (!is_outermost(whole.shape, axis)) return false;
  const auto begin = static_cast<size_t>(call.attrs.get_int("begin"));
  const Place& from = places_[index(node.inputs[0])];
  const Place part{from.root, from.offset + begin * stride_of(whole, axis)};
  if (part.offset % kAlignment != 0) return false;
  places_[index(node.outputs[0])] = part;
  return true;
}

// Can the memory of v be within another's? It is all of its root, which a kernel makes, and which
// is not promised to anyone else.
bool Views::can_move(ValueId v, const Operand& operand) const {
  const ValueId r = root(v);
  if (!made_[index(r)] || offset(v) != 0 || bytes_[index(r)] != bytes_of(operand)) return false;
  for (size_t other = 0; other < places_.size(); ++other) {
    if (places_[other].root == r && kept_.contains(static_cast<ValueId>(other))) return false;
  }
  return true;
}

bool Views::take_join(const Node& node, const Call& call) {
  const int64_t axis = call.attrs.get_int("axis");
  const ValueId whole = node.outputs[0];
  if (!is_outermost(call.outputs[0].shape, axis)) return false;
  std::vector<Place> parts;  // old root, new offset
  size_t end = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId r = root(node.inputs[i]);
    const auto same = [&](const Place& part) { return part.root == r; };
    if (end % kAlignment != 0 || !can_move(node.inputs[i], *call.inputs[i])) return false;
    if (std::any_of(parts.begin(), parts.end(), same)) return false;
    parts.push_back({r, end});
    end += bytes_of(*call.inputs[i]);
  }
  for (const Place& part : parts) {
    for (Place& place : places_) {
      if (place.root != part.root) continue;
      place.root = whole;
      place.offset += part.offset;
    }
  }
  return true;
}

// Is all of the part's memory what one kernel writes, and does nothing but the concat read it?
bool Views::can_lie_apart(NodeId concat, ValueId part) const {
  const ValueId r = root(part);
  if (row_elements_[index(r)] == 0) return false;
  const Node& maker = graph_.node(graph_.value(r).producer);
  if (maker.outputs[0] != r) return false;
  for (size_t v = 0; v < places_.size(); ++v) {
    if (places_[v].root != r) continue;
    const auto same = static_cast<ValueId>(v);
    if (offset(same) != 0 || bytes(same) != bytes(r)) return false;
    for (const NodeId user : graph_.users(same)) {
      if (user != concat && root(graph_.node(user).outputs[0]) != r) return false;
    }
  }
  return true;
}

// Rows of the parts side by side. A part's memory is then rows a pitch apart, which kernels do not
// read.
bool Views::take_rows(NodeId id, const Call& call) {
  const Node& node = graph_.node(id);
  const auto axis = static_cast<int64_t>(call.attrs.get_int("axis"));
  const auto row_bytes = [&](const Operand& o) {
    return stride_of(o, axis) * static_cast<size_t>(o.shape[static_cast<size_t>(axis)]);
  };
  const size_t element = static_cast<size_t>(info(call.outputs[0].dtype).bits) / 8;
  const size_t pitch = row_bytes(call.outputs[0]);
  if (pitch == 0 || pitch % kAlignment != 0) return false;
  std::vector<NodeId> makers;
  size_t end = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId part = node.inputs[i], r = root(part);
    const size_t row = row_bytes(*call.inputs[i]);
    if (end % kAlignment != 0 || !can_move(part, *call.inputs[i])) return false;
    if (!can_lie_apart(id, part)) return false;
    if (static_cast<size_t>(row_elements_[index(r)]) * element != row) return false;
    const NodeId maker = graph_.value(r).producer;
    if (std::find(makers.begin(), makers.end(), maker) != makers.end()) return false;
    makers.push_back(maker);
    end += row;
  }
  if (!write_apart_(makers, static_cast<int64_t>(pitch / element))) return false;
  size_t begin = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId r = root(node.inputs[i]);
    const size_t row = row_bytes(*call.inputs[i]);
    for (Place& place : places_) {
      if (place.root == r) place = {node.outputs[0], begin, row, pitch};
    }
    begin += row;
  }
  return true;
}

}  // namespace octavo
