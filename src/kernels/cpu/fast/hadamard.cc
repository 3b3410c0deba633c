#include "base/threads.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/hadamard_rows.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

Verdict supports(const Call& call) { return vector_float(call, 0, "x"); }

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const int64_t block = call.attrs.get_int("block");
  const DType type = call.inputs[0]->dtype;
  const int64_t bytes = block * info(type).bits / 8;
  const int64_t blocks = element_count(shape_of(call, 0)) / block;
  parallel_for(blocks, rows_of_chunk(4 * block), [&](int64_t begin, int64_t end) {
    hadamard_blocks(type, static_cast<const std::byte*>(buffers.inputs[0]) + begin * bytes,
                    static_cast<std::byte*>(buffers.outputs[0]) + begin * bytes, block,
                    end - begin);
  });
}

}  // namespace

const Kernel kHadamardHwy = {.name = "hadamard_hwy",
                             .op = Op::hadamard,
                             .supports = supports,
                             .launch = launch,
                             .in_place = true};

}  // namespace octavo::cpu
