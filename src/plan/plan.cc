#include "plan/plan.h"

#include <algorithm>
#include <unordered_set>

#include "base/check.h"
#include "base/env.h"
#include "plan/call.h"
#include "plan/state_cache.h"
#include "plan/storage.h"
#include "plan/views.h"

namespace octavo {
namespace {

constexpr size_t kNone = SIZE_MAX;

PlanOptions with_environment(PlanOptions options) {
  if (const auto kernels = env("OCTAVO_KERNELS")) {
    OCTAVO_CHECK(*kernels == "ref" || *kernels == "fast",
                 "OCTAVO_KERNELS is \"{}\"; expected ref or fast", *kernels);
    options.reference_kernels |= *kernels == "ref";
  }
  if (const auto reuse = env("OCTAVO_PLAN_REUSE")) {
    OCTAVO_CHECK(*reuse == "0" || *reuse == "1", "OCTAVO_PLAN_REUSE is \"{}\"; expected 0 or 1",
                 *reuse);
    options.reuse_memory &= *reuse == "1";
  }
  if (const auto record = env("OCTAVO_PLAN_RECORD")) {
    OCTAVO_CHECK(*record == "0" || *record == "1", "OCTAVO_PLAN_RECORD is \"{}\"; expected 0 or 1",
                 *record);
    options.record &= *record == "1";
  }
  return options;
}

// Kernels read elements through typed pointers; a view of a file may start anywhere.
bool is_aligned(const Tensor& tensor) {
  const auto element = static_cast<uintptr_t>(std::max(1, info(tensor.dtype()).bits / 8));
  return reinterpret_cast<uintptr_t>(tensor.data()) % element == 0;
}

class Planner {
 public:
  Planner(const Graph& graph, const Bindings& bindings, const PlanOptions& options,
          StateCache& cache)
      : options_(options),
        cache_(cache),
        plan_(std::make_shared<Plan>()),
        views_(graph, kept_values(graph, options), options.reuse_memory) {
    plan_->graph = graph;
    plan_->bindings = bindings;
    plan_->device = options.device;
    plan_->record = options.record;
  }

  std::shared_ptr<const Plan> run() {
    check_symbols();
    if (options_.device) options_.device->activate();
    collect_constants();
    for (size_t i = 0; i < plan_->graph.nodes().size(); ++i) plan_node(static_cast<NodeId>(i));
    name_tensors();
    const Storage storage =
        assign_storage(plan_->graph, plan_->nodes, views_, constant_index_, options_);
    place_nodes(storage);
    if (options_.device) make_resident();
    return plan_;
  }

 private:
  static std::set<ValueId> kept_values(const Graph& graph, const PlanOptions& options) {
    std::set<ValueId> kept;
    for (const Graph::Output& output : graph.outputs()) {
      if (!options.observed.contains(output.name)) kept.insert(output.value);
    }
    return kept;
  }

  void check_symbols() const {
    for (const std::string& symbol : plan_->graph.symbols()) {
      OCTAVO_CHECK_CODE(internal, plan_->bindings.contains(symbol),
                        "plan of {}: the extent {} is not bound", plan_->graph.name, symbol);
    }
  }

  void collect_constants() {
    Graph& graph = plan_->graph;
    constant_index_.assign(graph.values().size(), kNone);
    for (size_t v = 0; v < graph.values().size(); ++v) {
      const auto id = static_cast<ValueId>(v);
      if (!graph.value(id).constant) continue;
      Tensor& tensor = *graph.mutable_value(id).constant;
      OCTAVO_CHECK(tensor.has_data(),
                   "[{}] \"{}\" has no data: a model built from its config alone cannot run",
                   graph.name, graph.value(id).name);
      if (!is_aligned(tensor)) tensor = tensor.clone();
      constant_index_[v] = plan_->constants.size();
      plan_->constants.push_back(tensor);
    }
  }

  void plan_node(NodeId id) {
    const Node& node = plan_->graph.node(id);
    PlannedNode planned;
    planned.call = make_call(plan_->graph, node, plan_->bindings, options_.device.get());
    planned.output_values = node.outputs;
    if (!views_.take(id, planned.call)) select(planned);
    count_work(node, planned);
    plan_->nodes.push_back(std::move(planned));
  }

  void select(PlannedNode& planned) {
    Selection selection = select_kernel(planned.call, options_.reference_kernels);
    planned.kernel = selection.kernel;
    planned.refusals = std::move(selection.refusals);
    planned.state = cache_.get(*planned.kernel, planned.call);
    if (planned.kernel->workspace != nullptr) {
      planned.workspace_bytes = planned.kernel->workspace(planned.call, planned.state.get());
    }
    plan_->workspace_bytes = std::max(plan_->workspace_bytes, planned.workspace_bytes);
  }

  void count_work(const Node& node, PlannedNode& planned) const {
    if (planned.kernel == nullptr) return;
    std::vector<std::optional<ValueType>> inputs;
    std::vector<ValueType> outputs;
    const auto add_bytes = [&](const Operand& o) {
      planned.bytes += static_cast<int64_t>(Tensor::typed(o.dtype, o.shape).bytes());
    };
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const auto& o = planned.call.inputs[i];
      inputs.push_back(o ? std::optional(ValueType{o->dtype, symbolic(o->shape)}) : std::nullopt);
      if (o) add_bytes(*o);
    }
    for (const Operand& o : planned.call.outputs) {
      outputs.push_back({o.dtype, symbolic(o.shape)});
      add_bytes(o);
    }
    planned.flops = static_cast<double>(info(node.op).flops(inputs, outputs, node.attrs).value());
  }

  void name_tensors() {
    const Graph& graph = plan_->graph;
    const auto tensor = [&](const std::string& name, ValueId id) {
      const ValueType& type = graph.value(id).type;
      return PlannedTensor{name, type.dtype, evaluate(type.shape, plan_->bindings)};
    };
    for (ValueId id : graph.inputs()) plan_->inputs.push_back(tensor(graph.value(id).name, id));
    for (const Graph::Output& output : graph.outputs()) {
      if (options_.observed.contains(output.name)) continue;
      plan_->outputs.push_back(tensor(output.name, output.value));
    }
  }

  void place_nodes(const Storage& storage) {
    const auto slot = [&](ValueId id) {
      return id == kNoValue ? Slot{} : storage.slots[static_cast<size_t>(id)];
    };
    for (size_t i = 0; i < plan_->nodes.size(); ++i) {
      const Node& node = plan_->graph.nodes()[i];
      for (ValueId id : node.inputs) plan_->nodes[i].inputs.push_back(slot(id));
      for (ValueId id : node.outputs) plan_->nodes[i].outputs.push_back(slot(id));
    }
    plan_->output_copies = storage.output_copies;
    plan_->arena_bytes = storage.arena_bytes;
  }

  // Copies the constants that launches read to the device.
  void make_resident() {
    plan_->resident.resize(plan_->constants.size());
    const auto need = [&](const Slot& slot, const std::string& name) {
      if (slot.kind != Slot::Kind::constant) return;
      Tensor& resident = plan_->resident[slot.offset];
      if (resident.has_data()) return;
      resident = cache_.resident(*options_.device, plan_->constants[slot.offset], name);
    };
    for (size_t i = 0; i < plan_->nodes.size(); ++i) {
      const PlannedNode& planned = plan_->nodes[i];
      for (const Slot& slot : planned.inputs) {
        if (planned.kernel != nullptr) need(slot, "a constant of " + planned.call.name);
      }
    }
    for (const Plan::OutputCopy& copy : plan_->output_copies) need(copy.from, "an output");
  }

  const PlanOptions& options_;
  StateCache& cache_;
  std::shared_ptr<Plan> plan_;
  Views views_;
  std::vector<size_t> constant_index_;  // by ValueId; kNone: not a constant
};

}  // namespace

std::shared_ptr<const Plan> make_plan(const Graph& graph, const Bindings& bindings,
                                      const PlanOptions& options,
                                      const std::shared_ptr<StateCache>& cache) {
  StateCache own;
  const PlanOptions resolved = with_environment(options);
  return Planner(graph, bindings, resolved, cache ? *cache : own).run();
}

size_t device_slot_bytes(const Tensor& tensor) { return (tensor.bytes() + 255) / 256 * 256; }

size_t device_slot_bytes(const PlannedTensor& tensor) {
  return device_slot_bytes(Tensor::typed(tensor.dtype, tensor.shape));
}

size_t Plan::device_io_bytes() const {
  size_t bytes = 0;
  for (const auto* tensors : {&inputs, &outputs}) {
    for (const PlannedTensor& t : *tensors) bytes += device_slot_bytes(t);
  }
  return bytes;
}

size_t resident_bytes(std::span<const std::shared_ptr<const Plan>> plans) {
  std::unordered_set<const void*> seen;
  size_t bytes = 0;
  for (const auto& plan : plans) {
    bytes += plan->arena_bytes + plan->workspace_bytes;
    if (plan->device) {
      bytes += plan->device_io_bytes();
      for (const Tensor& tensor : plan->resident) {
        if (seen.insert(tensor.address()).second && tensor.has_data()) bytes += tensor.bytes();
      }
      continue;
    }
    for (const PlannedNode& node : plan->nodes) {
      if (node.kernel == nullptr) continue;
      const size_t prepared = node.state ? node.state->bytes() : 0;
      if (prepared > 0 && seen.insert(node.state.get()).second) bytes += prepared;
      for (const auto& input : node.call.inputs) {
        if (prepared > 0 || !input || !input->constant) continue;
        if (seen.insert(input->constant->data()).second) bytes += input->constant->bytes();
      }
    }
  }
  return bytes;
}

}  // namespace octavo
