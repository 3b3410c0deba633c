#pragma once
// Which nodes only say how existing memory is seen, and need no kernel:
//   reshape   the whole of its input
//   slice     a part of it, where that part is contiguous
//   concat    its inputs, where they are contiguous in the output and their makers can write them
//             there in the first place
#include <set>
#include <vector>

#include "graph/graph.h"
#include "kernels/kernel.h"

namespace octavo {

class Views {
 public:
  // kept: values that need memory of their own (outputs of the plan). join: also concat.
  Views(const Graph& graph, std::set<ValueId> kept, bool join);

  // Nodes come in their order. True if node `id` needs no kernel.
  bool take(NodeId id, const Call& call);

  // Every value lies in the memory of its root, at an offset in bytes. A root is made by a kernel,
  // comes from outside, or is the output of a concat whose inputs are written there.
  ValueId root(ValueId v) const { return places_[index(v)].root; }
  size_t offset(ValueId v) const { return places_[index(v)].offset; }
  size_t bytes(ValueId v) const { return bytes_[index(v)]; }  // of a node's output

 private:
  struct Place {
    ValueId root = kNoValue;
    size_t offset = 0;
  };
  static size_t index(ValueId v) { return static_cast<size_t>(v); }
  bool take_part(const Node& node, const Call& call);
  bool take_join(const Node& node, const Call& call);
  bool can_move(ValueId v, const Operand& operand) const;

  const Graph& graph_;
  std::set<ValueId> kept_;
  bool join_;
  std::vector<Place> places_;
  std::vector<bool> made_;  // by a kernel or a join
  std::vector<size_t> bytes_;
};

}  // namespace octavo
