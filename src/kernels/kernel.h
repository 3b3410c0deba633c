#pragma once
// A kernel is a value: it says what it supports (with the reason when it does not), prepares once
// (packed weights, library primitives), and launches without allocating. Tables are explicit and
// ordered, best first, the reference last.
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/op.h"
#include "tensor/tensor.h"

namespace octavo {

class Device;  // kernels/device.h

// One concrete problem: an op over operands of known types and shapes.
struct Operand {
  DType dtype = DType::f32;
  Shape shape;
  const Tensor* constant = nullptr;  // the data, when the operand is a model-rate constant
  // Of an output: elements from one row (of the last axis; of attention's output [B, S, H, D] all
  // heads of a position) to the next in memory; 0: rows follow each other. Set only for kernels
  // with `pitched_output`.
  int64_t row_pitch = 0;
};
// What a plan asks of every kernel beside the result.
struct Rules {
  // Bits of a sample (of a product: of a row of x) do not depend on how many others the call has;
  // kernels that cannot promise it refuse.
  bool batch_invariant = false;
  // FP8 codes by FP8 codes on a device without FP8 units may be multiplied as bf16 or f16 codes:
  // the same values, at the rate of those types. Refused where it is not allowed.
  bool allow_fallback = false;
};
struct Call {
  Op op;
  Attrs attrs;
  std::vector<std::optional<Operand>> inputs;  // empty where an optional input is absent
  std::vector<Operand> outputs;
  std::string name;          // the node's first output, for messages
  Device* device = nullptr;  // nullptr: the host's CPU
  Rules rules = {};
};

// Supported, or the reason why not.
struct Verdict {
  bool supported = true;
  std::string reason;
  static Verdict yes() { return {}; }
  static Verdict no(std::string why) { return {false, std::move(why)}; }
};

// What prepare() made: packed weights, primitives. Immutable after prepare, shared between plans.
struct KernelState {
  virtual ~KernelState() = default;
  virtual size_t bytes() const { return 0; }  // resident memory
};

// Addresses on the call's device for one launch, parallel to Call::inputs and outputs; nullptr
// where absent. No two buffers overlap, except that an element-wise kernel's output may be one of
// its inputs if the kernel says `in_place`.
struct Buffers {
  std::span<const void* const> inputs;
  std::span<void* const> outputs;
  void* workspace = nullptr;  // workspace() bytes, 64-byte aligned (256 on a device)
};

// One of several calls that are launched together.
struct GroupMember {
  const Call* call = nullptr;
  const KernelState* state = nullptr;
  Buffers buffers;  // each its own workspace
};

// On a device, launch() only puts work on the device's stream.
struct Kernel {
  const char* name;  // "linear_f32_onednn", "linear_ref"
  Op op;
  Verdict (*supports)(const Call& call);
  // From constants, attributes and element types only, not from the extents of other operands: one
  // state serves every shape that its node is planned for.
  std::shared_ptr<const KernelState> (*prepare)(const Call& call) = nullptr;
  size_t (*workspace)(const Call& call, const KernelState* state) = nullptr;
  void (*launch)(const Call& call, const KernelState* state, const Buffers& buffers);
  bool in_place = false;  // outputs[0] may alias inputs[0]
  int alignment = 0;      // in bytes, of every operand's address; 0: that of its elements. Plans on
                          // a device keep operands at multiples of 64.
  bool pitched_output = false;  // outputs[0] may have a row_pitch (a multiple of 64 bytes)
  // Calls that all chose this kernel and of which none reads what another writes, in one launch,
  // with the bits that launch() gives each of them. can_group says of which calls that is possible.
  bool (*can_group)(std::span<const Call* const> calls) = nullptr;
  void (*launch_group)(std::span<const GroupMember> members) = nullptr;
};

// Kernels of one op, best first; on the CPU `*_ref` is last. Without CUDA the second is empty.
std::span<const Kernel> cpu_kernels(Op op);
std::span<const Kernel> cuda_kernels(Op op);
// Those of the device (nullptr: the CPU).
std::span<const Kernel> kernels_of(const Device* device, Op op);

// Whether devices' kernels know the formats and scales of the call's specs; those that they do not
// are the CPU's.
Verdict device_knows_specs(const Call& call);

struct Selection {
  const Kernel* kernel = nullptr;
  std::vector<std::string> refusals;  // "linear_i8_onednn: weight format e4m3 is not i8"
};
// The first kernel that supports the call. Error{unsupported} with all refusals when none does.
// reference_only skips everything but `*_ref`, which only the CPU has.
Selection select_kernel(const Call& call, bool reference_only = false);

// Runs one CPU kernel at once on the addresses of the inputs (nullptr where absent).
std::vector<Tensor> run_kernel(const Kernel& kernel, const Call& call,
                               std::span<const void* const> inputs);
// Runs one call at once (constant folding, tests): selects, prepares, launches. An
// absent input is a tensor without data.
std::vector<Tensor> run_call(const Call& call, const std::vector<Tensor>& inputs,
                             bool reference_only = false);

}  // namespace octavo
