// out[b, c, i, j] = x[b, c, i / factor, j / factor].
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

// Factor 2, 16 bytes of the output at a time: 8 bytes of the input, each element twice.
template <class T>
struct Doubled {
  static constexpr int kPack = 16 / sizeof(T);
  const T* src;
  Divisor row;  // packs of a row of the output
  __device__ Pack<T, kPack> operator()(int64_t i) const {
    const int64_t r = row.quotient(i), column = i - r * row.value;
    const auto half = *reinterpret_cast<const Pack<T, kPack / 2>*>(
        src + (r / 2 * row.value + column) * (kPack / 2));
    Pack<T, kPack> pack;
#pragma unroll
    for (int j = 0; j < kPack; ++j) pack.v[j] = half.v[j / 2];
    return pack;
  }
};

template <class T>
void launch_doubled(const Call& call, const Buffers& buffers) {
  using Source = Doubled<T>;
  const Shape& out = call.outputs[0].shape;
  launch_copy<Pack<T, Source::kPack>>(
      call, buffers.outputs[0], element_count(out) / Source::kPack,
      Source{static_cast<const T*>(buffers.inputs[0]), Divisor(out[3] / Source::kPack)});
}

void launch_upsample_nearest(const Call& call, const KernelState*, const Buffers& buffers) {
  const int64_t factor = call.attrs.get_int("factor"), bytes = element_bytes(dtype_of(call, 0));
  const Shape& in = shape_of(call, 0);
  if (element_count(in) == 0) return;
  CommonUnit unit;
  unit.divides(buffers.outputs[0]).divides(2 * in[3] * bytes);
  const bool aligned = reinterpret_cast<uintptr_t>(buffers.inputs[0]) % 8 == 0;
  if (factor == 2 && aligned && unit.bytes() == 16 && (bytes == 2 || bytes == 4)) {
    return bytes == 2 ? launch_doubled<uint16_t>(call, buffers)
                      : launch_doubled<uint32_t>(call, buffers);
  }
  strided_copy(call, {{in[0] * in[1] * in[2], {in[3]}}, {factor, {0}}, {in[3], {1}}, {factor, {0}}},
               bytes, buffers.inputs[0], buffers.outputs[0]);
}

}  // namespace

const Kernel kUpsampleNearest = {.name = "upsample_nearest_cuda",
                                 .op = Op::upsample_nearest,
                                 .supports = supports_movement,
                                 .launch = launch_upsample_nearest};

}  // namespace octavo::cuda
