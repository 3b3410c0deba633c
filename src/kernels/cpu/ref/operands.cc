#include "kernels/cpu/ref/operands.h"

#include "base/check.h"

namespace octavo::cpu {
namespace {

bool needs_decoding(const std::optional<Operand>& input) {
  return input && is_plain_float(input->dtype) && input->dtype != DType::f32;
}

}  // namespace

int64_t extent(const Shape& shape, size_t begin, size_t end) {
  int64_t product = 1;
  for (size_t axis = begin; axis < end; ++axis) product *= shape[axis];
  return product;
}

int64_t leading_rows(const Shape& shape) {
  return shape.empty() ? 1 : extent(shape, 0, shape.size() - 1);
}

FloatInputs::FloatInputs(const Call& call, const Buffers& buffers, Arena& arena) {
  constexpr int64_t kBlock = 4096;
  OCTAVO_ASSERT(call.inputs.size() <= data_.size());
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const auto& input = call.inputs[i];
    if (!input || !is_plain_float(input->dtype)) continue;
    data_[i] = static_cast<const float*>(buffers.inputs[i]);
    if (!needs_decoding(input)) continue;
    const int64_t n = element_count(input->shape);
    float* decoded = arena.take<float>(n);
    const auto* src = static_cast<const std::byte*>(buffers.inputs[i]);
    for_rows((n + kBlock - 1) / kBlock, kBlock, [&](int64_t block) {
      const int64_t at = block * kBlock;
      convert_row(input->dtype, src + row_bytes(input->dtype, at), DType::f32, decoded + at,
                  std::min(kBlock, n - at));
    });
    data_[i] = decoded;
  }
}

void count_float_inputs(const Call& call, Arena& arena) {
  for (const auto& input : call.inputs) {
    if (needs_decoding(input)) arena.take<float>(element_count(input->shape));
  }
}

size_t float_inputs_workspace(const Call& call, const KernelState*) {
  Arena arena(nullptr);
  count_float_inputs(call, arena);
  return arena.used();
}

bool is_plain_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

Verdict float_inputs(const Call& call, size_t first, size_t last) {
  for (size_t i = first; i <= last && i < call.inputs.size(); ++i) {
    if (!call.inputs[i] || is_plain_float(call.inputs[i]->dtype)) continue;
    return Verdict::no(
        fmt::format("input {} is {}, not f32, bf16 or f16", i, name(call.inputs[i]->dtype)));
  }
  return Verdict::yes();
}

Verdict float_outputs(const Call& call) {
  for (const Operand& output : call.outputs) {
    if (is_plain_float(output.dtype)) continue;
    return Verdict::no(fmt::format("the output is {}, not f32, bf16 or f16", name(output.dtype)));
  }
  return Verdict::yes();
}

Verdict supports_floats(const Call& call) {
  return all_of({float_inputs(call, 0, call.inputs.size()), float_outputs(call)});
}

Verdict all_of(std::initializer_list<Verdict> verdicts) {
  for (const Verdict& verdict : verdicts) {
    if (!verdict.supported) return verdict;
  }
  return Verdict::yes();
}

}  // namespace octavo::cpu
