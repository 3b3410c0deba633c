// Rows of the table. What is outside of the table reads as NaN: a device cannot refuse an id.
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

enum Input : size_t { kTable, kIds };

template <class U>
struct Rows {
  const U* table;
  const int64_t* ids;
  int64_t count;
  Divisor row;  // units of a row
  __device__ U operator()(int64_t i) const {
    const int64_t at = row.quotient(i), id = ids[at];
    if (id >= 0 && id < count) return table[id * row.value + i - at * row.value];
    U nan;
    memset(&nan, 0xff, sizeof(U));
    return nan;
  }
};

Verdict supports(const Call& call) {
  const DType ids = dtype_of(call, kIds);
  if (ids != DType::i64) return Verdict::no("ids are " + std::string(name(ids)) + ", not i64");
  if (!is_float(dtype_of(call, kTable))) return Verdict::no("the table is not of a float type");
  return supports_movement(call);
}

void launch_rows(const Call& call, const KernelState*, const Buffers& buffers) {
  const Shape& table = shape_of(call, kTable);
  const int64_t row = table[1] * element_bytes(dtype_of(call, kTable));
  const int64_t n = element_count(shape_of(call, kIds)) * row;
  if (n == 0) return;
  CommonUnit unit;
  unit.divides(buffers.inputs[kTable]).divides(buffers.outputs[0]).divides(row);
  with_unit(unit.bytes(), [&](auto type) {
    using U = typename decltype(type)::type;
    launch_copy<U>(call, buffers.outputs[0], n / unit.bytes(),
                   Rows<U>{static_cast<const U*>(buffers.inputs[kTable]),
                           static_cast<const int64_t*>(buffers.inputs[kIds]), table[0],
                           Divisor(row / unit.bytes())});
  });
}

}  // namespace

const Kernel kEmbedding = {
    .name = "embedding_cuda", .op = Op::embedding, .supports = supports, .launch = launch_rows};

}  // namespace octavo::cuda
