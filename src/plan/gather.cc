#include "plan/gather.h"

#include <algorithm>
#include <optional>

#include "base/check.h"

namespace octavo {
namespace {

constexpr NodeId kWindow = 96;  // nodes, views among them: two transformer blocks or so
constexpr size_t kMostPulled = 4;

class Gatherer {
 public:
  Gatherer(const Graph& graph, std::span<const PlannedNode> nodes, bool group)
      : graph_(graph), nodes_(nodes), group_(group), done_(nodes.size(), false) {}

  Gathered run() {
    for (NodeId id = 0; id < count(); ++id) {
      if (!done_[index(id)]) take(id);
    }
    return std::move(result_);
  }

 private:
  static size_t index(NodeId id) { return static_cast<size_t>(id); }
  NodeId count() const { return static_cast<NodeId>(nodes_.size()); }
  const PlannedNode& planned(NodeId id) const { return nodes_[index(id)]; }

  void put(std::span<const NodeId> members) {
    result_.launches.push_back({result_.order.size(), members.size()});
    for (const NodeId id : members) {
      result_.order.push_back(id);
      done_[index(id)] = true;
    }
  }

  // All nodes before `first` are done.
  void take(NodeId first) {
    std::vector<NodeId> members{first};
    const Kernel* kernel = planned(first).kernel;
    if (group_ && kernel != nullptr && kernel->launch_group != nullptr) find_others(members);
    put(members);
  }

  void find_others(std::vector<NodeId>& members) {
    const NodeId first = members[0];
    std::vector<const Call*> calls{&planned(first).call};
    for (NodeId id = first + 1; id < std::min(count(), first + kWindow); ++id) {
      if (done_[index(id)] || planned(id).kernel != planned(first).kernel) continue;
      const auto before = undone_before(id, members);
      if (!before) continue;
      calls.push_back(&planned(id).call);
      if (!planned(first).kernel->can_group(calls)) {
        calls.pop_back();
        continue;
      }
      for (const NodeId needed : *before) put({&needed, 1});
      members.push_back(id);
    }
  }

  // What must run before `id`, in order; nullopt if that is a member, another launch of its kernel,
  // or more than a few launches.
  std::optional<std::vector<NodeId>> undone_before(NodeId id,
                                                   const std::vector<NodeId>& members) const {
    std::vector<NodeId> found, open{id};
    size_t launches = 0;
    while (!open.empty()) {
      const NodeId at = open.back();
      open.pop_back();
      for (const ValueId v : graph_.node(at).inputs) {
        const NodeId maker = v == kNoValue ? -1 : graph_.value(v).producer;
        if (maker < 0 || done_[index(maker)]) continue;
        if (std::find(found.begin(), found.end(), maker) != found.end()) continue;
        const bool is_member = std::find(members.begin(), members.end(), maker) != members.end();
        if (is_member || planned(maker).kernel == planned(id).kernel) return std::nullopt;
        launches += planned(maker).kernel != nullptr;
        if (launches > kMostPulled) return std::nullopt;
        found.push_back(maker);
        open.push_back(maker);
      }
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  const Graph& graph_;
  std::span<const PlannedNode> nodes_;
  const bool group_;
  std::vector<bool> done_;  // by NodeId: in the result
  Gathered result_;
};

}  // namespace

Gathered gather(const Graph& graph, std::span<const PlannedNode> nodes, bool group) {
  return Gatherer(graph, nodes, group).run();
}

void reorder(Graph& graph, std::span<const NodeId> order) {
  std::vector<Node>& nodes = graph.mutable_nodes();
  OCTAVO_ASSERT(order.size() == nodes.size());
  std::vector<Node> ordered;
  for (size_t i = 0; i < order.size(); ++i) {
    ordered.push_back(std::move(nodes[static_cast<size_t>(order[i])]));
    for (const ValueId v : ordered.back().outputs) {
      graph.mutable_value(v).producer = static_cast<NodeId>(i);
    }
  }
  nodes = std::move(ordered);
}

}  // namespace octavo
