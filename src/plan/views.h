#pragma once
// Which nodes only say how existing memory is seen, and need no kernel:
//   reshape   the whole of its input
//   slice     a part of it, where that part is contiguous
//   concat    its inputs, where their makers can write them there in the first place: they are
//             contiguous in the output, or, if nothing else reads them, rows that lie apart
#include <functional>
#include <set>
#include <span>
#include <vector>

#include "graph/graph.h"
#include "kernels/kernel.h"

namespace octavo {

class Views {
 public:
  // Makes the first outputs of these nodes rows that are `pitch` elements apart (Operand), if all
  // of their kernels can do that.
  using WriteApart = std::function<bool(std::span<const NodeId> makers, int64_t pitch)>;

  // kept: values that need memory of their own (outputs of the plan). join: also concat.
  Views(const Graph& graph, std::set<ValueId> kept, bool join, WriteApart write_apart);

  // Nodes come in their order. True if node `id` needs no kernel.
  bool take(NodeId id, const Call& call);

  // Every value lies in the memory of its root, at an offset in bytes. A root is made by a kernel,
  // comes from outside, or is the output of a concat whose inputs are written there.
  ValueId root(ValueId v) const { return places_[index(v)].root; }
  size_t offset(ValueId v) const { return places_[index(v)].offset; }
  size_t bytes(ValueId v) const { return bytes_[index(v)]; }  // of a node's output
  // Where rows lie apart: bytes of one, and to the next; else 0.
  size_t row(ValueId v) const { return places_[index(v)].row; }
  size_t pitch(ValueId v) const { return places_[index(v)].pitch; }

 private:
  struct Place {
    ValueId root = kNoValue;
    size_t offset = 0, row = 0, pitch = 0;
  };
  static size_t index(ValueId v) { return static_cast<size_t>(v); }
  bool take_part(const Node& node, const Call& call);
  bool take_join(const Node& node, const Call& call);
  bool take_rows(NodeId id, const Call& call);
  bool can_lie_apart(NodeId concat, ValueId part) const;
  bool can_move(ValueId v, const Operand& operand) const;

  const Graph& graph_;
  std::set<ValueId> kept_;
  bool join_;
  WriteApart write_apart_;
  std::vector<Place> places_;
  std::vector<bool> made_;             // by a kernel or a join
  std::vector<int64_t> row_elements_;  // of a kernel's first output
  std::vector<size_t> bytes_;
};

}  // namespace octavo
