#include "kernels/cpu/ref/strided_copy.h"

#include <fmt/format.h>

#include <cstring>

namespace octavo::cpu {

Verdict supports_movement(const Call& call) {
  for (const auto& input : call.inputs) {
    if (!input || info(input->dtype).bits >= 8) continue;
    return Verdict::no(fmt::format("elements of {} are packed", name(input->dtype)));
  }
  return Verdict::yes();
}

std::vector<int64_t> dense_strides(const Shape& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * shape[axis];
  return strides;
}

void strided_copy(const Strided& from, int64_t element_bytes, const void* src, void* dst) {
  const int64_t n = last_dim(from.shape), step = from.strides.empty() ? 1 : from.strides.back();
  if (element_count(from.shape) == 0) return;
  for_rows(leading_rows(from.shape), n, [&](int64_t row) {
    int64_t at = from.begin, rest = row;
    for (size_t axis = from.shape.size(); axis-- > 1;) {
      at += rest % from.shape[axis - 1] * from.strides[axis - 1];
      rest /= from.shape[axis - 1];
    }
    const auto* in = static_cast<const std::byte*>(src) + at * element_bytes;
    auto* out = static_cast<std::byte*>(dst) + row * n * element_bytes;
    for (int64_t i = 0; i < n; ++i) {
      std::memcpy(out + i * element_bytes, in + i * step * element_bytes,
                  static_cast<size_t>(element_bytes));
    }
  });
}

}  // namespace octavo::cpu
