#include "run/runner.h"

namespace octavo {

Runner::Runner(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)) {
  for (const PlannedNode& node : plan_->nodes) {
    Pointers pointers;
    pointers.inputs.resize(node.inputs.size());
    pointers.outputs.resize(node.outputs.size());
    pointers_.push_back(std::move(pointers));
    NodeProfile row{node.call.name, name(node.call.op), node.kernel ? node.kernel->name : "alias"};
    row.flops = node.flops;
    row.bytes = node.bytes;
    profile_.push_back(std::move(row));
  }
}

void Runner::launch(size_t n, void* workspace) const {
  const PlannedNode& node = plan_->nodes[n];
  if (node.kernel == nullptr) return;
  node.kernel->launch(node.call, node.state.get(),
                      {pointers_[n].inputs, pointers_[n].outputs, workspace});
}

void Runner::count(size_t n, double seconds) {
  if (plan_->nodes[n].kernel == nullptr) return;
  profile_[n].seconds += seconds;
  ++profile_[n].calls;
}

void Runner::set_profiling(bool on) {
  profiling_ = on;
  if (!on) return;
  for (NodeProfile& row : profile_) row.seconds = 0, row.calls = 0;
}

}  // namespace octavo
