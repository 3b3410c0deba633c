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

}  // namespace

Views::Views(const Graph& graph, std::set<ValueId> kept, bool join)
    : graph_(graph),
      kept_(std::move(kept)),
      join_(join),
      places_(graph.values().size()),
      made_(graph.values().size(), false),
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
  return can_be_seen && join_ && call.op == Op::concat && take_join(node, call);
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
      if (place.root == part.root) place = {whole, place.offset + part.offset};
    }
  }
  return true;
}

}  // namespace octavo
