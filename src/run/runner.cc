#include "run/runner.h"

#include "base/check.h"

namespace octavo {

Runner::Runner(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)) {
  for (const PlannedNode& node : plan_->nodes) {
    Pointers pointers;
    pointers.inputs.resize(node.inputs.size());
    pointers.outputs.resize(node.outputs.size());
    pointers_.push_back(std::move(pointers));
  }
  for (const Launch& launch : plan_->launches) profile_.push_back(profile_row(launch));
}

NodeProfile Runner::profile_row(const Launch& launch) const {
  const PlannedNode& first = plan_->nodes[launch.first];
  NodeProfile row{"", name(first.call.op), first.kernel ? first.kernel->name : "alias"};
  for (size_t n = launch.first; n < launch.first + launch.count; ++n) {
    const PlannedNode& node = plan_->nodes[n];
    row.name += (n == launch.first ? "" : ", ") + node.call.name;
    row.flops += node.flops;
    row.bytes += node.bytes;
  }
  if (launch.count > 1) row.kernel += " x" + std::to_string(launch.count);
  return row;
}

void Runner::launch(size_t index, void* workspace) const {
  const Launch& launch = plan_->launches[index];
  const Kernel* kernel = plan_->nodes[launch.first].kernel;
  if (kernel == nullptr) return;
  std::vector<GroupMember> members;
  for (size_t n = launch.first; n < launch.first + launch.count; ++n) {
    const PlannedNode& node = plan_->nodes[n];
    void* own = static_cast<std::byte*>(workspace) + node.workspace_offset;
    members.push_back(
        {&node.call, node.state.get(), {pointers_[n].inputs, pointers_[n].outputs, own}});
  }
  if (members.size() > 1) return kernel->launch_group(members);
  kernel->launch(*members[0].call, members[0].state, members[0].buffers);
}

Tensor Runner::loop(const EulerLoop&, const std::vector<std::vector<Tensor>>&, const StepDone&) {
  OCTAVO_FAIL(internal, "{}: loops are run on devices only", plan_->graph.name);
}

std::vector<double> Runner::time_loops(const EulerLoop&, const std::vector<std::vector<Tensor>>&,
                                       int) {
  OCTAVO_FAIL(internal, "{}: loops are timed on devices only", plan_->graph.name);
}

void Runner::count(size_t index, double seconds) {
  if (plan_->nodes[plan_->launches[index].first].kernel == nullptr) return;
  profile_[index].seconds += seconds;
  ++profile_[index].calls;
}

void Runner::set_profiling(bool on) {
  profiling_ = on;
  if (!on) return;
  for (NodeProfile& row : profile_) row.seconds = 0, row.calls = 0;
}

}  // namespace octavo
