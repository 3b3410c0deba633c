#pragma once
// A plan fixes everything before the first launch: kernels, prepared weights, memory offsets,
// order.
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "kernels/device.h"
#include "kernels/kernel.h"

namespace octavo {

struct PlanOptions {
  std::shared_ptr<Device> device = {};  // nullptr: the CPU
  bool reference_kernels = false;       // also OCTAVO_KERNELS=ref
  bool reuse_memory = true;             // OCTAVO_PLAN_REUSE=0 too gives every value its own memory
  // On a device, a plan that runs again is recorded and replayed; OCTAVO_PLAN_RECORD=0 launches
  // every kernel anew, with the same bits.
  bool record = true;
  bool group = true;  // OCTAVO_PLAN_GROUP=0: every node a launch of its own, with the same bits
  // On a device: Error{not_finite} names a constant with NaN or Inf, found as it is copied there.
  bool check_finite = false;
  Rules rules = {};  // also OCTAVO_BATCH_INVARIANT=1, OCTAVO_ALLOW_FALLBACK=1
  // Graph outputs that observers look at while the plan runs, and that are not returned.
  std::set<std::string> observed = {};
  Selection (*select)(const Call& call, bool reference_only) = select_kernel;
};

// Where a value lives while the plan runs.
struct Slot {
  enum class Kind : uint8_t { none, arena, constant, input, output } kind = Kind::none;
  size_t offset = 0;  // arena: bytes; others: index
  size_t byte = 0;    // behind that
  // In bytes, where rows do not follow each other: the value is written within a larger one.
  size_t row = 0, pitch = 0;
};

struct PlannedNode {
  const Kernel* kernel = nullptr;  // null: nothing to run, the output is seen in place (views.h)
  Call call;
  std::shared_ptr<const KernelState> state;
  std::vector<Slot> inputs, outputs;
  std::vector<ValueId> output_values;  // ids in Plan::graph, for observers
  size_t workspace_bytes = 0, workspace_offset = 0;
  double flops = 0;                   // multiply-adds x 2
  int64_t bytes = 0;                  // every operand once
  std::vector<std::string> refusals;  // why better kernels were not taken
};

// Nodes that run together, one after the other in the plan: one, or a group (kernel.h). For a view
// there is nothing to launch.
struct Launch {
  size_t first = 0, count = 1;
};

struct PlannedTensor {
  std::string name;
  DType dtype;
  Shape shape;
};

// Bytes of a tensor in the block that holds a device plan's inputs or outputs one after the other.
size_t device_slot_bytes(const Tensor& tensor);
size_t device_slot_bytes(const PlannedTensor& tensor);

struct Plan {
  Graph graph;
  Bindings bindings;
  std::vector<PlannedNode> nodes;  // in the order of graph.nodes()
  std::vector<Launch> launches;    // all nodes, in order
  std::vector<PlannedTensor> inputs, outputs;
  // An output that is also an input, a constant or another output is copied at the end.
  struct OutputCopy {
    Slot from;
    size_t output = 0;
  };
  std::vector<OutputCopy> output_copies;
  std::vector<Tensor> constants;
  std::shared_ptr<Device> device;
  std::vector<Tensor> resident;  // on a device: the constants that kernels read, there
  bool record = true;
  size_t arena_bytes = 0, workspace_bytes = 0;

  // What inputs and outputs take on the device, each rounded up to 256 bytes.
  size_t device_io_bytes() const;
};

// Prepared weights, constants that kernels read (those of kernels that prepare nothing), inputs and
// outputs that a device keeps, and arenas; what several plans share counts once.
size_t resident_bytes(std::span<const std::shared_ptr<const Plan>> plans);

// Prepared states are reused from `cache` when the same node was prepared for other extents: packed
// weights exist once however many shapes are planned.
class StateCache;
std::shared_ptr<StateCache> make_state_cache();

// Every symbol of the graph must be bound. Error{unsupported} lists each kernel's refusal.
std::shared_ptr<const Plan> make_plan(const Graph& graph, const Bindings& bindings,
                                      const PlanOptions& options,
                                      const std::shared_ptr<StateCache>& cache = nullptr);

// Binds the symbols of the graph's inputs from concrete shapes; Error names input, dimension,
// found, expected.
Bindings bind_inputs(const Graph& graph, const std::map<std::string, Shape>& shapes);
// The same, but only as far as the inputs given tell: other symbols stay unbound.
Bindings bind_given(const Graph& graph, const std::map<std::string, Shape>& shapes);

// Kernel, precision, time-independent cost per node: what really runs (attestation).
std::string describe(const Plan& plan);

}  // namespace octavo
