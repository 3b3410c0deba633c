#include "plan/storage.h"

#include <algorithm>
#include <climits>

#include "base/check.h"
#include "plan/memory.h"

namespace octavo {
namespace {

constexpr int kEnd = INT_MAX;
constexpr size_t kNone = SIZE_MAX;

class Assigner {
 public:
  Assigner(const Graph& graph, std::span<const PlannedNode> nodes, const PlanOptions& options)
      : graph_(graph),
        nodes_(nodes),
        options_(options),
        root_(graph.values().size()),
        last_use_(graph.values().size(), -1),
        buffer_of_(graph.values().size(), kNone) {}

  Storage run(std::span<const size_t> constant_index) {
    find_roots();
    find_last_uses();
    make_fixed_buffers(constant_index);
    for (size_t i = 0; i < nodes_.size(); ++i) make_node_buffers(static_cast<int>(i));
    make_outputs();
    place_arena();
    for (size_t b : buffer_of_) storage_.slots.push_back(b == kNone ? Slot{} : buffers_[b].slot);
    return std::move(storage_);
  }

 private:
  struct Buffer {
    Slot slot;
    Lifetime lifetime;
  };

  const Node& node(int i) const { return graph_.nodes()[static_cast<size_t>(i)]; }
  bool is_alias(int i) const { return nodes_[static_cast<size_t>(i)].kernel == nullptr; }
  size_t root(ValueId v) const { return root_[static_cast<size_t>(v)]; }

  // A reshaped value is the value it was made of.
  void find_roots() {
    for (size_t v = 0; v < root_.size(); ++v) root_[v] = v;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& n = graph_.nodes()[i];
      if (is_alias(static_cast<int>(i)))
        root_[static_cast<size_t>(n.outputs[0])] = root(n.inputs[0]);
    }
  }

  void find_last_uses() {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& n = graph_.nodes()[i];
      for (ValueId v : n.inputs) {
        if (v != kNoValue) last_use_[root(v)] = static_cast<int>(i);
      }
      for (ValueId v : n.outputs)
        last_use_[root(v)] = std::max(last_use_[root(v)], static_cast<int>(i));
    }
    for (const Graph::Output& output : graph_.outputs()) {
      if (!options_.observed.contains(output.name)) last_use_[root(output.value)] = kEnd;
    }
  }

  size_t add_buffer(ValueId v, Buffer buffer) {
    buffers_.push_back(buffer);
    return buffer_of_[static_cast<size_t>(v)] = buffers_.size() - 1;
  }

  void make_fixed_buffers(std::span<const size_t> constant_index) {
    for (size_t i = 0; i < graph_.inputs().size(); ++i) {
      add_buffer(graph_.inputs()[i], {{Slot::Kind::input, i}, {}});
    }
    for (size_t v = 0; v < constant_index.size(); ++v) {
      if (constant_index[v] == kNone) continue;
      add_buffer(static_cast<ValueId>(v), {{Slot::Kind::constant, constant_index[v]}, {}});
    }
  }

  bool can_overwrite_input(int i) const {
    const PlannedNode& planned = nodes_[static_cast<size_t>(i)];
    if (!options_.reuse_memory || !planned.kernel->in_place) return false;
    const std::vector<ValueId>& inputs = node(i).inputs;
    if (inputs.empty() || inputs[0] == kNoValue || !planned.call.inputs[0]) return false;
    const Operand &from = *planned.call.inputs[0], &to = planned.call.outputs[0];
    if (from.dtype != to.dtype || from.shape != to.shape) return false;
    if (last_use_[root(inputs[0])] != i) return false;
    for (size_t k = 1; k < inputs.size(); ++k) {
      if (inputs[k] != kNoValue && root(inputs[k]) == root(inputs[0])) return false;
    }
    const size_t buffer = buffer_of_[static_cast<size_t>(inputs[0])];
    return buffers_[buffer].slot.kind == Slot::Kind::arena;
  }

  void make_node_buffers(int i) {
    const Node& n = node(i);
    const PlannedNode& planned = nodes_[static_cast<size_t>(i)];
    for (size_t k = 0; k < n.outputs.size(); ++k) {
      const ValueId v = n.outputs[k];
      size_t& buffer = buffer_of_[static_cast<size_t>(v)];
      if (is_alias(i) || (k == 0 && can_overwrite_input(i))) {
        buffer = buffer_of_[static_cast<size_t>(n.inputs[0])];
      } else {
        const Operand& operand = planned.call.outputs[k];
        const size_t bytes = Tensor::typed(operand.dtype, operand.shape).bytes();
        buffer = add_buffer(v, {{Slot::Kind::arena, 0}, {bytes, i, i}});
      }
      Lifetime& lifetime = buffers_[buffer].lifetime;
      lifetime.last = std::max(lifetime.last, last_use_[root(v)]);
    }
  }

  void make_outputs() {
    size_t index = 0;
    for (const Graph::Output& output : graph_.outputs()) {
      if (options_.observed.contains(output.name)) continue;
      Buffer& buffer = buffers_[buffer_of_[static_cast<size_t>(output.value)]];
      if (buffer.slot.kind == Slot::Kind::arena) {
        buffer.slot = {Slot::Kind::output, index};
      } else {
        storage_.output_copies.push_back({buffer.slot, index});
      }
      ++index;
    }
  }

  void place_arena() {
    std::vector<Lifetime> lifetimes;
    std::vector<size_t> owners;
    for (size_t b = 0; b < buffers_.size(); ++b) {
      if (buffers_[b].slot.kind != Slot::Kind::arena) continue;
      lifetimes.push_back(buffers_[b].lifetime);
      owners.push_back(b);
    }
    const Placement placement = options_.reuse_memory ? place(lifetimes) : place_apart(lifetimes);
    for (size_t k = 0; k < owners.size(); ++k) {
      buffers_[owners[k]].slot.offset = placement.offsets[k];
    }
    storage_.arena_bytes = placement.bytes;
  }

  const Graph& graph_;
  std::span<const PlannedNode> nodes_;
  const PlanOptions& options_;
  std::vector<size_t> root_;
  std::vector<int> last_use_;      // by root; kEnd: leaves the plan
  std::vector<size_t> buffer_of_;  // by value
  std::vector<Buffer> buffers_;
  Storage storage_;
};

}  // namespace

Storage assign_storage(const Graph& graph, std::span<const PlannedNode> nodes,
                       std::span<const size_t> constant_index, const PlanOptions& options) {
  return Assigner(graph, nodes, options).run(constant_index);
}

}  // namespace octavo
