#include <cstring>

#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const Operand& out = call.outputs[0];
  const int64_t bytes = element_count(out.shape) * element_bytes(out.dtype);
  if (bytes == 0 || buffers.outputs[0] == buffers.inputs[0]) return;
  std::memcpy(buffers.outputs[0], buffers.inputs[0], static_cast<size_t>(bytes));
}

}  // namespace

const Kernel kReshapeRef = {.name = "reshape_ref",
                            .op = Op::reshape,
                            .supports = supports_movement,
                            .launch = launch,
                            .in_place = true};

}  // namespace octavo::cpu
