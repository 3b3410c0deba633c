#pragma once
// Small parts of the fast kernels' verdicts and launches.
#include "kernels/cpu/ref/operands.h"
#include "kernels/kernel.h"

namespace octavo::cpu {

// f32 or bf16: what the vector kernels read and write.
inline bool is_vector_float(DType dtype) { return dtype == DType::f32 || dtype == DType::bf16; }
Verdict vector_float(const Call& call, size_t input, const char* what);
// What is there, has data.
Verdict is_constant_or_absent(const Call& call, size_t input, const char* what);
// The constant operand as f32, or an empty tensor where it is absent.
Tensor constant_f32(const Call& call, size_t input);
// The operand's address, or nullptr where it is absent.
inline const void* data_of(const Call& call, const Buffers& buffers, size_t input) {
  return has(call, input) ? buffers.inputs[input] : nullptr;
}
// Rows that share a row of an operand [samples, d]; at least 1.
inline int64_t rows_per_sample(int64_t rows, int64_t samples) {
  return samples > 0 && rows > samples ? rows / samples : 1;
}
// Rows a chunk of parallel work takes, for rows of `elements`: some microseconds' worth.
int64_t rows_of_chunk(int64_t elements);

}  // namespace octavo::cpu
