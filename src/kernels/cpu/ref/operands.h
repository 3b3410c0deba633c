#pragma once
// How reference kernels read and write: float operands as f32 arrays (f32 in place, other types
// decoded into the workspace), results in double, rounded once to the output's type.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/threads.h"
#include "kernels/kernel.h"
#include "tensor/convert.h"

namespace octavo::cpu {

inline int64_t last_dim(const Shape& shape) { return shape.empty() ? 1 : shape.back(); }
// Product of all axes but the last; well-defined for empty shapes too.
int64_t leading_rows(const Shape& shape);
// Product of the axes [begin, end).
int64_t extent(const Shape& shape, size_t begin, size_t end);

inline bool has(const Call& call, size_t input) {
  return input < call.inputs.size() && call.inputs[input].has_value();
}
inline const Shape& shape_of(const Call& call, size_t input) { return call.inputs[input]->shape; }

// body(row) for every row of [0, rows), rows of about `work` operations each.
template <class Body>
void for_rows(int64_t rows, int64_t work, const Body& body) {
  constexpr int64_t kChunkWork = 1 << 14;
  const int64_t grain = std::max<int64_t>(1, kChunkWork / std::max<int64_t>(1, work));
  parallel_for(rows, grain, [&body](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

// n doubles of this thread, until its next call of scratch(). Grows once, so that repeated launches
// do not allocate.
double* scratch(int64_t n);

// Rows of a matrix whose axis 0 is the sample -> row of an input [B, D] or [1, D].
class SampleRows {
 public:
  SampleRows(const Call& call, size_t input, int64_t rows);
  int64_t operator()(int64_t row) const { return row / rows_per_sample_; }

 private:
  int64_t rows_per_sample_ = 1;
};

// Takes aligned pieces of a workspace, one after the other. Over nullptr it only counts.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<std::byte*>(base)) {}
  template <class T>
  T* take(int64_t n) {
    std::byte* piece = base_ ? base_ + used_ : nullptr;
    used_ += (static_cast<size_t>(n) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(piece);
  }
  size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

// The inputs of a call as f32, decoded into the arena where they are of another type; codes become
// their values before scaling.
class FloatInputs {
 public:
  FloatInputs(const Call& call, const Buffers& buffers, Arena& arena);
  // nullptr where absent.
  const float* operator[](size_t input) const {
    return input < data_.size() ? data_[input] : nullptr;
  }

 private:
  std::array<const float*, 9> data_ = {};
};
void count_float_inputs(const Call& call, Arena& arena);
// The `workspace` of kernels that need nothing else.
size_t float_inputs_workspace(const Call& call, const KernelState* state);

// Any operand, codes included, as f32; packed rows are those of the last axis.
void decode_operand(const Operand& operand, const void* src, float* dst);

class FloatOutput {
 public:
  FloatOutput(const Call& call, const Buffers& buffers, size_t output = 0)
      : dtype_(call.outputs[output].dtype),
        bytes_(info(dtype_).bits / 8),
        data_(static_cast<std::byte*>(buffers.outputs[output])) {}
  // Rounds once.
  void set(int64_t i, double value) const {
    if (dtype_ == DType::f32) {
      reinterpret_cast<float*>(data_)[i] = static_cast<float>(value);
    } else {
      convert_row(DType::f64, &value, dtype_, data_ + i * bytes_, 1);
    }
  }

 private:
  DType dtype_;
  int64_t bytes_;
  std::byte* data_;
};

// f32, f16, bf16.
bool is_compute_type(DType dtype);
// Present inputs [first, last] are of float types.
Verdict float_inputs(const Call& call, size_t first, size_t last);
// All outputs are of compute types.
Verdict compute_outputs(const Call& call);
// Both, for all inputs.
Verdict supports_floats(const Call& call);
// The first refusal, else yes.
Verdict all_of(std::initializer_list<Verdict> verdicts);

}  // namespace octavo::cpu
