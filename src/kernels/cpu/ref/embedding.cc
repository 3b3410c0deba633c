// Rows of the table, as bytes.
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kTable, kIds };

Verdict supports(const Call& call) {
  if (call.inputs[kIds]->dtype != DType::i64) {
    return Verdict::no(fmt::format("ids are {}, not i64", name(call.inputs[kIds]->dtype)));
  }
  return supports_movement(call);
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const Shape& table = shape_of(call, kTable);
  const int64_t row_size = table[1] * element_bytes(call.outputs[0].dtype);
  const auto* ids = static_cast<const int64_t*>(buffers.inputs[kIds]);
  for_rows(element_count(shape_of(call, kIds)), row_size, [&](int64_t i) {
    OCTAVO_CHECK(ids[i] >= 0 && ids[i] < table[0], "[{}] id {} at {} is outside of a table of {}",
                 call.name, ids[i], i, table[0]);
    std::memcpy(static_cast<std::byte*>(buffers.outputs[0]) + i * row_size,
                static_cast<const std::byte*>(buffers.inputs[kTable]) + ids[i] * row_size,
                static_cast<size_t>(row_size));
  });
}

}  // namespace

const Kernel kEmbeddingRef = {
    .name = "embedding_ref", .op = Op::embedding, .supports = supports, .launch = launch};

}  // namespace octavo::cpu
