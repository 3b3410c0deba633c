#include <fmt/ranges.h>

#include "plan/plan.h"

namespace octavo {
namespace {

std::string text(const Operand& operand) {
  return fmt::format("{}{}", name(operand.dtype), to_string(operand.shape));
}

std::string text(const Slot& slot) {
  std::string behind = slot.byte ? fmt::format("+{}", slot.byte) : "";
  if (slot.pitch) behind += fmt::format(" a row every {} bytes", slot.pitch);
  switch (slot.kind) {
    case Slot::Kind::none:
      return "-";
    case Slot::Kind::arena:
      return fmt::format("@{}", slot.offset) + behind;
    case Slot::Kind::constant:
      return fmt::format("const {}", slot.offset) + behind;
    case Slot::Kind::input:
      return fmt::format("in {}", slot.offset) + behind;
    case Slot::Kind::output:
      return fmt::format("out {}", slot.offset) + behind;
  }
  return {};
}

// group: nodes that are launched together.
std::string line(const PlannedNode& node, size_t group) {
  std::vector<std::string> inputs, outputs;
  for (const auto& input : node.call.inputs) inputs.push_back(input ? text(*input) : "-");
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    outputs.push_back(text(node.call.outputs[k]) + " " + text(node.outputs[k]));
  }
  std::string result =
      fmt::format("{}: {} {}({}) -> {}", node.call.name, node.kernel ? node.kernel->name : "alias",
                  name(node.call.op), fmt::join(inputs, ", "), fmt::join(outputs, ", "));
  if (group > 1) result += fmt::format(", one launch of {}", group);
  if (node.flops > 0) result += fmt::format(", {:.4g} MFLOP", node.flops * 1e-6);
  if (node.bytes > 0) result += fmt::format(", {:.4g} KiB", static_cast<double>(node.bytes) / 1024);
  result += "\n";
  for (const std::string& refusal : node.refusals) result += "    not " + refusal + "\n";
  return result;
}

}  // namespace

std::string describe(const Plan& plan) {
  const std::shared_ptr<const Plan> alone(std::shared_ptr<const Plan>(), &plan);
  std::vector<std::string> extents;
  for (const auto& [symbol, extent] : plan.bindings) {
    extents.push_back(fmt::format("{} = {}", symbol, extent));
  }
  double flops = 0;
  for (const PlannedNode& node : plan.nodes) flops += node.flops;
  std::string result = fmt::format(
      "plan of {} ({}): {} nodes, {:.4g} GFLOP, arena {} bytes, workspace {} bytes, resident {} "
      "bytes\n",
      plan.graph.name, fmt::join(extents, ", "), plan.nodes.size(), flops * 1e-9, plan.arena_bytes,
      plan.workspace_bytes, resident_bytes({&alone, 1}));
  for (const Launch& launch : plan.launches) {
    for (size_t n = launch.first; n < launch.first + launch.count; ++n) {
      result += line(plan.nodes[n], launch.count);
    }
  }
  return result;
}

}  // namespace octavo
