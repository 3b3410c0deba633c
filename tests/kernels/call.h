#pragma once
// Calls over given tensors, and launches that watch what a kernel does to memory.
#include <optional>
#include <vector>

#include "kernels/kernel.h"

namespace octavo::test {

using Inputs = std::vector<std::optional<Tensor>>;

// With the output types that the graph floor infers. `constants`: inputs whose data the call knows.
Call make_call(Op op, const Attrs& attrs, const Inputs& inputs, std::string name = "case",
               const std::vector<size_t>& constants = {});
// Absent operands as tensors without data, for run_call.
std::vector<Tensor> plain(const Inputs& inputs);

struct LaunchOptions {
  // Bytes by which operands miss 64-byte alignment, rounded down to whole elements.
  int64_t misalign = 0;
  uint8_t fill = 0xff;                 // what outputs and workspace hold before the launch
  bool in_place = false;               // outputs[0] is inputs[0]
  const Call* prepared_for = nullptr;  // another call of the same node, of other extents
};
// Prepares and launches once, on copies of the inputs. Fails the test when the kernel writes
// outside of its outputs and workspace or into its inputs.
std::vector<Tensor> launch(const Kernel& kernel, const Call& call, const Inputs& inputs,
                           const LaunchOptions& options = {});

}  // namespace octavo::test
