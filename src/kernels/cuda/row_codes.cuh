#pragma once
// Rows of a block, written as codes.
#include <type_traits>

#include "kernels/cuda/out_quant.cuh"

namespace octavo::cuda {

// What a row's values are: given, whose codes are exact, or computed with roundings of their own.
enum class Values : uint8_t { exact, rounded };

// visit(f) calls f(col, v) for this thread's elements of the row. Byte formats only, and not the
// first launch of mode tensor.
template <Values kValues, class Visit, class Reduction>
__device__ void write_row_codes(const QuantTarget& target, int64_t row, Reduction& reduction,
                                Visit&& visit) {
  float scale;
  if (target.mode == QuantMode::row) {
    float largest = 0;
    visit([&](int64_t, auto& v) {
#pragma unroll
      for (float x : v) largest = Largest::of(largest, magnitude(x));
    });
    scale = row_scale(target, row, reduction.template reduce<Largest>(largest), threadIdx.x == 0);
  } else {
    scale = tensor_scale(target);
  }
  with_byte_format(target.format, [&](auto format) {
    constexpr DType kFormat = decltype(format)::value;
    constexpr bool kNear = kValues == Values::rounded && kFormat != DType::e5m2;
    using Encoder = std::conditional_t<kNear, NearEncoder<kFormat>, ScaledEncoder<kFormat>>;
    CodeWriter<kFormat, Encoder> writer(target, scale);
    visit([&](int64_t col, auto& v) { writer.write(row, col, v); });
  });
}

// The first launch of mode tensor.
template <class Visit, class Reduction>
__device__ void find_row_largest(const QuantTarget& target, Reduction& reduction, Visit&& visit) {
  float largest = 0;
  visit([&](int64_t, auto& v) {
#pragma unroll
    for (float x : v) largest = Largest::of(largest, magnitude(x));
  });
  largest = reduction.template reduce<Largest>(largest);
  if (threadIdx.x == 0) find_largest(target, largest);
}

}  // namespace octavo::cuda
