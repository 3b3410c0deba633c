#include "kernels/cpu/ref/operands.h"

#include "base/check.h"

namespace octavo::cpu {
namespace {

bool needs_decoding(const std::optional<Operand>& input) {
  return input && input->dtype != DType::f32;
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

double* scratch(int64_t n) {
  thread_local std::vector<double> storage;
  if (storage.size() < static_cast<size_t>(n)) storage.resize(static_cast<size_t>(n));
  return storage.data();
}

SampleRows::SampleRows(const Call& call, size_t input, int64_t rows) {
  if (!has(call, input) || rows == 0) return;
  const int64_t samples = leading_rows(shape_of(call, input));
  OCTAVO_ASSERT(samples > 0 && rows % samples == 0);
  rows_per_sample_ = rows / samples;
}

void decode_operand(const Operand& operand, const void* src, float* dst) {
  constexpr int64_t kBlock = 4096;
  const int64_t n = element_count(operand.shape);
  // Types of whole bytes have no rows to keep apart.
  const int64_t run = info(operand.dtype).bits < 8 ? last_dim(operand.shape) : kBlock;
  if (n == 0) return;
  const int64_t run_bytes = row_bytes(operand.dtype, run);
  for_rows((n + run - 1) / run, run, [&](int64_t row) {
    convert_row(operand.dtype, static_cast<const std::byte*>(src) + row * run_bytes, DType::f32,
                dst + row * run, std::min(run, n - row * run));
  });
}

FloatInputs::FloatInputs(const Call& call, const Buffers& buffers, Arena& arena) {
  OCTAVO_ASSERT(call.inputs.size() <= data_.size());
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const auto& input = call.inputs[i];
    if (needs_decoding(input)) {
      float* decoded = arena.take<float>(element_count(input->shape));
      decode_operand(*input, buffers.inputs[i], decoded);
      data_[i] = decoded;
    } else if (input) {
      data_[i] = static_cast<const float*>(buffers.inputs[i]);
    }
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

bool is_compute_type(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

Verdict float_inputs(const Call& call, size_t first, size_t last) {
  for (size_t i = first; i <= last && i < call.inputs.size(); ++i) {
    if (!call.inputs[i] || is_float(call.inputs[i]->dtype)) continue;
    return Verdict::no(
        fmt::format("input {} is {}, not of a float type", i, name(call.inputs[i]->dtype)));
  }
  return Verdict::yes();
}

Verdict compute_outputs(const Call& call) {
  for (const Operand& output : call.outputs) {
    if (is_compute_type(output.dtype)) continue;
    return Verdict::no(fmt::format("the output is {}, not f32, f16 or bf16", name(output.dtype)));
  }
  return Verdict::yes();
}

Verdict supports_floats(const Call& call) {
  return all_of({float_inputs(call, 0, call.inputs.size()), compute_outputs(call)});
}

Verdict all_of(std::initializer_list<Verdict> verdicts) {
  for (const Verdict& verdict : verdicts) {
    if (!verdict.supported) return verdict;
  }
  return Verdict::yes();
}

}  // namespace octavo::cpu
