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
  Assigner(const Plan& plan, const Views& views, const PlanOptions& options)
      : graph_(plan.graph),
        nodes_(plan.nodes),
        launches_(plan.launches),
        views_(views),
        options_(options),
        last_use_(graph_.values().size(), -1),
        homes_(graph_.values().size()) {}

  Storage run(std::span<const size_t> constant_index) {
    find_last_uses();
    make_fixed_buffers(constant_index);
    for (size_t time = 0; time < launches_.size(); ++time) {
      const Launch& launch = launches_[time];
      for (size_t i = launch.first; i < launch.first + launch.count; ++i) {
        if (nodes_[i].kernel != nullptr) make_node_buffers(i, static_cast<int>(time));
      }
    }
    make_outputs();
    place_arena();
    for (const auto& [v, index] : copied_) storage_.output_copies.push_back({slot_of(v), index});
    for (size_t v = 0; v < homes_.size(); ++v) {
      storage_.slots.push_back(slot_of(static_cast<ValueId>(v)));
    }
    return std::move(storage_);
  }

 private:
  struct Buffer {
    Slot slot;
    Lifetime lifetime;
  };
  // Where a root lies: in a buffer of its own, or, if it was made in place, in another's.
  struct Home {
    size_t buffer = kNone, offset = 0;
  };

  const Node& node(size_t i) const { return graph_.nodes()[i]; }
  size_t root(ValueId v) const { return static_cast<size_t>(views_.root(v)); }
  Home& home(ValueId v) { return homes_[root(v)]; }
  size_t offset(ValueId v) { return home(v).offset + views_.offset(v); }

  Slot slot_of(ValueId v) {
    const size_t buffer = home(v).buffer;
    if (buffer == kNone) return {};
    Slot slot = buffers_[buffer].slot;
    (slot.kind == Slot::Kind::arena ? slot.offset : slot.byte) += offset(v);
    slot.row = views_.row(v), slot.pitch = views_.pitch(v);
    return slot;
  }

  // Time is counted in launches.
  void find_last_uses() {
    for (size_t time = 0; time < launches_.size(); ++time) {
      const Launch& launch = launches_[time];
      for (size_t i = launch.first; i < launch.first + launch.count; ++i) {
        for (const auto* values : {&node(i).inputs, &node(i).outputs}) {
          for (ValueId v : *values) {
            if (v != kNoValue) last_use_[root(v)] = static_cast<int>(time);
          }
        }
      }
    }
    for (const Graph::Output& output : graph_.outputs()) {
      if (!options_.observed.contains(output.name)) last_use_[root(output.value)] = kEnd;
    }
  }

  void add_buffer(ValueId v, Buffer buffer) {
    buffers_.push_back(buffer);
    home(v) = {buffers_.size() - 1, 0};
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

  // Does a node of the launch other than i read memory of this root?
  bool is_read_beside(size_t i, const Launch& launch, size_t of_root) const {
    for (size_t other = launch.first; other < launch.first + launch.count; ++other) {
      for (ValueId v : node(other).inputs) {
        if (other != i && v != kNoValue && root(v) == of_root) return true;
      }
    }
    return false;
  }

  bool can_overwrite_input(size_t i, int time) {
    const PlannedNode& planned = nodes_[i];
    if (!options_.reuse_memory || !planned.kernel->in_place) return false;
    const std::vector<ValueId>& inputs = node(i).inputs;
    const ValueId out = node(i).outputs[0];
    if (views_.root(out) != out) return false;  // it is to be within a joined value
    if (inputs.empty() || inputs[0] == kNoValue || !planned.call.inputs[0]) return false;
    const Operand &from = *planned.call.inputs[0], &to = planned.call.outputs[0];
    if (from.dtype != to.dtype || from.shape != to.shape) return false;
    if (last_use_[root(inputs[0])] != time) return false;
    const Launch& launch = launches_[static_cast<size_t>(time)];
    if (is_read_beside(i, launch, root(inputs[0]))) return false;
    for (size_t k = 1; k < inputs.size(); ++k) {
      if (inputs[k] != kNoValue && root(inputs[k]) == root(inputs[0])) return false;
    }
    return buffers_[home(inputs[0]).buffer].slot.kind == Slot::Kind::arena;
  }

  // The memory of a joined value begins with its first part.
  void make_node_buffers(size_t i, int time) {
    const Node& n = node(i);
    for (size_t k = 0; k < n.outputs.size(); ++k) {
      const ValueId v = n.outputs[k];
      if (k == 0 && can_overwrite_input(i, time)) {
        home(v) = {home(n.inputs[0]).buffer, offset(n.inputs[0])};
      } else if (home(v).buffer == kNone) {
        add_buffer(v, {{Slot::Kind::arena, 0}, {views_.bytes(views_.root(v)), time, time}});
      }
      Lifetime& lifetime = buffers_[home(v).buffer].lifetime;
      lifetime.last = std::max(lifetime.last, last_use_[root(v)]);
    }
  }

  // A value that leaves the plan lives in its output's buffer if it is all of its own.
  void make_outputs() {
    size_t index = 0;
    for (const Graph::Output& output : graph_.outputs()) {
      if (options_.observed.contains(output.name)) continue;
      Buffer& buffer = buffers_[home(output.value).buffer];
      const bool is_all =
          offset(output.value) == 0 && buffer.lifetime.bytes == views_.bytes(output.value);
      if (buffer.slot.kind == Slot::Kind::arena && is_all) {
        buffer.slot = {Slot::Kind::output, index};
      } else {
        copied_.emplace_back(output.value, index);
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
  std::span<const Launch> launches_;
  const Views& views_;
  const PlanOptions& options_;
  std::vector<int> last_use_;  // by root: a launch; kEnd: leaves the plan
  std::vector<Home> homes_;    // by root
  std::vector<Buffer> buffers_;
  std::vector<std::pair<ValueId, size_t>> copied_;  // outputs that lie elsewhere, by index
  Storage storage_;
};

}  // namespace

Storage assign_storage(const Plan& plan, const Views& views, std::span<const size_t> constant_index,
                       const PlanOptions& options) {
  return Assigner(plan, views, options).run(constant_index);
}

}  // namespace octavo
