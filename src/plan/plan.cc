#include "plan/plan.h"

#include <algorithm>
#include <chrono>
#include <unordered_set>

#include "base/check.h"
#include "base/env.h"
#include "base/log.h"
#include "octavo/quant_spec.h"
#include "plan/call.h"
#include "plan/gather.h"
#include "plan/state_cache.h"
#include "plan/storage.h"
#include "plan/views.h"

namespace octavo {
namespace {

constexpr size_t kNone = SIZE_MAX;

size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }  // kernel.h, of workspaces

// A switch of the environment, if it is set.
std::optional<bool> switch_of(const char* name) {
  const auto value = env(name);
  if (!value) return std::nullopt;
  OCTAVO_CHECK(*value == "0" || *value == "1", "{} is \"{}\"; expected 0 or 1", name, *value);
  return *value == "1";
}

PlanOptions with_environment(PlanOptions options) {
  if (const auto kernels = env("OCTAVO_KERNELS")) {
    OCTAVO_CHECK(*kernels == "ref" || *kernels == "fast",
                 "OCTAVO_KERNELS is \"{}\"; expected ref or fast", *kernels);
    options.reference_kernels |= *kernels == "ref";
  }
  options.reuse_memory &= switch_of("OCTAVO_PLAN_REUSE").value_or(true);
  options.record &= switch_of("OCTAVO_PLAN_RECORD").value_or(true);
  options.group &= switch_of("OCTAVO_PLAN_GROUP").value_or(true);
  options.rules.batch_invariant |= switch_of("OCTAVO_BATCH_INVARIANT").value_or(false);
  options.rules.allow_fallback |= switch_of("OCTAVO_ALLOW_FALLBACK").value_or(false);
  return options;
}

// What no choice of kernels can make batch-invariant.
void check_invariance(const Call& call) {
  for (const char* attribute : {"spec", "out_spec"}) {
    if (!call.rules.batch_invariant || !call.attrs.has(attribute)) continue;
    const QuantSpec spec = QuantSpec::parse(call.attrs.get_string(attribute));
    OCTAVO_CHECK_CODE(unsupported, spec.timing != QuantSpec::Timing::dynamic || spec.tile_rows == 1,
                      "[{}] {} finds one scale for several rows of a batch, which a "
                      "batch-invariant plan cannot have; take a scheme with a scale a row "
                      "(fp8dqrow, int8dq) or static scales",
                      call.name, spec.text());
  }
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
        views_(graph, kept_values(graph, options), options.reuse_memory,
               [this](std::span<const NodeId> makers, int64_t pitch) {
                 return write_apart(makers, pitch);
               }) {
    plan_->graph = graph;
    plan_->bindings = bindings;
    plan_->device = options.device;
    plan_->record = options.record;
  }

  std::shared_ptr<const Plan> run() {
    check_symbols();
    OCTAVO_CHECK_CODE(
        unsupported,
        !options_.rules.batch_invariant || options_.device || options_.reference_kernels,
        "[{}] batch-invariant plans are a device's; on the CPU only the reference kernels "
        "(OCTAVO_KERNELS=ref) promise it",
        plan_->graph.name);
    if (options_.device) options_.device->activate();
    collect_constants();
    for (size_t i = 0; i < plan_->graph.nodes().size(); ++i) plan_node(static_cast<NodeId>(i));
    set_order();
    place_workspaces();
    name_tensors();
    const Storage storage = assign_storage(*plan_, views_, constant_index_, options_);
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
    planned.call.rules = options_.rules;
    check_invariance(planned.call);
    planned.output_values = node.outputs;
    if (!views_.take(id, planned.call)) select(planned);
    count_work(node, planned);
    plan_->nodes.push_back(std::move(planned));
  }

  void select(PlannedNode& planned) {
    Selection selection = options_.select(planned.call, options_.reference_kernels);
    planned.kernel = selection.kernel;
    planned.refusals = std::move(selection.refusals);
    planned.state = cache_.get(*planned.kernel, planned.call);
  }

  // Lets the makers of a concat's parts write rows that are `pitch` elements apart, if all can.
  bool write_apart(std::span<const NodeId> makers, int64_t pitch) {
    std::vector<Call> calls;
    for (const NodeId id : makers) {
      const PlannedNode& maker = plan_->nodes[static_cast<size_t>(id)];
      if (maker.kernel == nullptr || !maker.kernel->pitched_output) return false;
      calls.push_back(maker.call);
      calls.back().outputs[0].row_pitch = pitch;
      if (!maker.kernel->supports(calls.back()).supported) return false;
    }
    for (size_t i = 0; i < makers.size(); ++i) {
      plan_->nodes[static_cast<size_t>(makers[i])].call = std::move(calls[i]);
    }
    return true;
  }

  void set_order() {
    Gathered gathered = gather(plan_->graph, plan_->nodes, options_.group);
    reorder(plan_->graph, gathered.order);
    std::vector<PlannedNode> ordered;
    for (const NodeId id : gathered.order) {
      ordered.push_back(std::move(plan_->nodes[static_cast<size_t>(id)]));
    }
    plan_->nodes = std::move(ordered);
    plan_->launches = std::move(gathered.launches);
  }

  void place_workspaces() {
    for (const Launch& launch : plan_->launches) {
      size_t end = 0;
      for (size_t i = launch.first; i < launch.first + launch.count; ++i) {
        PlannedNode& planned = plan_->nodes[i];
        if (planned.kernel == nullptr || planned.kernel->workspace == nullptr) continue;
        planned.workspace_bytes = planned.kernel->workspace(planned.call, planned.state.get());
        planned.workspace_offset = end;
        end = aligned(end + planned.workspace_bytes);
      }
      plan_->workspace_bytes = std::max(plan_->workspace_bytes, end);
    }
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

  // The constants that launches read, by index.
  std::vector<bool> needed_constants() const {
    std::vector<bool> needed(plan_->constants.size(), false);
    const auto need = [&](const Slot& slot) {
      if (slot.kind == Slot::Kind::constant) needed[slot.offset] = true;
    };
    for (const PlannedNode& planned : plan_->nodes) {
      if (planned.kernel != nullptr)
        std::for_each(planned.inputs.begin(), planned.inputs.end(), need);
    }
    for (const Plan::OutputCopy& copy : plan_->output_copies) need(copy.from);
    return needed;
  }

  // Copies them to the device.
  void make_resident() {
    const std::vector<bool> needed = needed_constants();
    std::vector<Constant> constants;
    std::vector<size_t> index;
    for (size_t v = 0; v < constant_index_.size(); ++v) {
      const size_t i = constant_index_[v];
      if (i == kNone || !needed[i]) continue;
      constants.push_back({plan_->graph.value(static_cast<ValueId>(v)).name, plan_->constants[i]});
      index.push_back(i);
    }
    const std::vector<Tensor> residents =
        cache_.residents(*options_.device, constants, {plan_->graph.name, options_.check_finite});
    plan_->resident.resize(plan_->constants.size());
    for (size_t k = 0; k < index.size(); ++k) plan_->resident[index[k]] = residents[k];
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
  const auto start = std::chrono::steady_clock::now();
  auto plan = Planner(graph, bindings, resolved, cache ? *cache : own).run();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  log_info("plan of {}: {} nodes, {} launches, {:.1f} ms", graph.name, plan->nodes.size(),
           plan->launches.size(), 1e3 * seconds.count());
  return plan;
}

size_t device_slot_bytes(const Tensor& tensor) { return aligned(tensor.bytes()); }

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
