#pragma once
// The reference kernels with powers that only a device's have: they share launches, and write rows
// apart. For PlanOptions::select.
#include <cstring>
#include <map>

#include "kernels/kernel.h"
#include "support.h"

namespace octavo::test {

struct FakeKernels {
  static inline int64_t group_launches = 0, largest_group = 0, rows_apart = 0;

  static const Kernel& reference(Op op) { return cpu_kernels(op).back(); }

  static bool can_group(std::span<const Call* const> calls) { return calls.size() <= 4; }

  // Whatever members must not share is destroyed before the first of them runs, and they run in
  // one order or the other.
  static void launch_group(std::span<const GroupMember> members) {
    largest_group = std::max(largest_group, std::ssize(members));
    for (const GroupMember& m : members) {
      for (size_t k = 0; k < m.call->outputs.size(); ++k) {
        const bool in_place = m.buffers.outputs[k] == m.buffers.inputs[0];
        const Operand& o = m.call->outputs[k];
        if (in_place || o.row_pitch > 0) continue;
        std::memset(m.buffers.outputs[k], 0x7b, Tensor::typed(o.dtype, o.shape).bytes());
      }
    }
    const bool backwards = ++group_launches % 2 == 0;
    for (size_t i = 0; i < members.size(); ++i) {
      const GroupMember& m = members[backwards ? members.size() - 1 - i : i];
      launch(*m.call, m.state, m.buffers);
    }
  }

  static void launch(const Call& call, const KernelState* state, const Buffers& buffers) {
    const Operand& out = call.outputs[0];
    if (out.row_pitch == 0) return reference(call.op).launch(call, state, buffers);
    ++rows_apart;
    Tensor dense = Tensor::empty(out.dtype, out.shape);
    std::vector<void*> outputs(buffers.outputs.begin(), buffers.outputs.end());
    outputs[0] = dense.mutable_data();
    reference(call.op).launch(call, state, {buffers.inputs, outputs, buffers.workspace});
    int64_t row = out.shape.back();
    if (call.op == Op::attention) row *= out.shape[out.shape.size() - 2];
    const auto element = static_cast<size_t>(info(out.dtype).bits) / 8;
    for (int64_t r = 0; r < dense.elements() / row; ++r) {
      std::memcpy(static_cast<std::byte*>(buffers.outputs[0]) +
                      static_cast<size_t>(r * out.row_pitch) * element,
                  dense.as<std::byte>() + static_cast<size_t>(r * row) * element,
                  static_cast<size_t>(row) * element);
    }
  }

  static const Kernel& of(Op op) {
    static std::map<Op, Kernel> made;
    const auto [entry, fresh] = made.try_emplace(op, reference(op));
    Kernel& kernel = entry->second;
    if (fresh) {
      kernel.name = "fake";
      kernel.launch = launch;
      kernel.pitched_output = true;
      kernel.can_group = can_group;
      kernel.launch_group = launch_group;
    }
    return kernel;
  }

  static Selection select(const Call& call, bool) { return {&of(call.op), {}}; }
};

}  // namespace octavo::test
