#include "kernels/cpu/fast/support.h"

#include <fmt/format.h>

#include <algorithm>

namespace octavo::cpu {

Verdict vector_float(const Call& call, size_t input, const char* what) {
  const DType dtype = call.inputs[input]->dtype;
  if (is_vector_float(dtype)) return Verdict::yes();
  return Verdict::no(fmt::format("{} is {}, not f32 or bf16", what, name(dtype)));
}

Verdict is_constant_or_absent(const Call& call, size_t input, const char* what) {
  if (!has(call, input)) return Verdict::yes();
  const Tensor* constant = call.inputs[input]->constant;
  if (constant && constant->has_data()) return Verdict::yes();
  return Verdict::no(fmt::format("{} is not a constant", what));
}

Tensor constant_f32(const Call& call, size_t input) {
  return has(call, input) ? call.inputs[input]->constant->to(DType::f32) : Tensor();
}

int64_t rows_of_chunk(int64_t elements) {
  constexpr int64_t kChunkElements = 1 << 13;
  return std::max<int64_t>(1, kChunkElements / std::max<int64_t>(1, elements));
}

}  // namespace octavo::cpu
