// diffusers get_timestep_embedding, every step rounded to f32 (see the reference). Frequencies are
// the host's and travel as a parameter, so that the device's angles have the reference's bits.
#include <cmath>

#include "kernels/cuda/index.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr int kBlock = 128;
constexpr int64_t kMaxColumns = 512;  // of a launch

struct Columns {
  Divisor count;
  int64_t begin;  // the first one's place in a half of the output
  float frequency[kMaxColumns];
};

__global__ void timestep_kernel(const float* t, float* y, int64_t n, int64_t half, bool cos_first,
                                const __grid_constant__ Columns columns) {
  const int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (i >= n) return;
  const int64_t row = columns.count.quotient(i), column = i - row * columns.count.value;
  const float angle = t[row] * columns.frequency[column];
  double sine, cosine;
  sincos(static_cast<double>(angle), &sine, &cosine);
  float* out = y + row * 2 * half + columns.begin + column;
  out[0] = static_cast<float>(cos_first ? cosine : sine);
  out[half] = static_cast<float>(cos_first ? sine : cosine);
}

float frequency(const Attrs& attrs, int64_t i, int64_t half) {
  const auto log_period = static_cast<float>(-std::log(attrs.get_double("max_period")));
  const auto divisor =
      static_cast<float>(static_cast<double>(half) - attrs.get_double("freq_shift"));
  const float exponent = log_period * static_cast<float>(i) / divisor;
  return static_cast<float>(std::exp(static_cast<double>(exponent)));
}

Verdict supports(const Call& call) {
  if (dtype_of(call, 0) == DType::f32) return Verdict::yes();
  return Verdict::no("t is " + std::string(name(dtype_of(call, 0))) + ", not f32");
}

void launch_timestep_embedding(const Call& call, const KernelState*, const Buffers& buffers) {
  const int64_t half = call.attrs.get_int("dim") / 2, rows = shape_of(call, 0)[0];
  for (int64_t begin = 0; begin < half; begin += kMaxColumns) {
    const int64_t count = std::min(kMaxColumns, half - begin), n = rows * count;
    Columns columns{Divisor(count), begin, {}};
    for (int64_t i = 0; i < count; ++i) {
      columns.frequency[i] = frequency(call.attrs, begin + i, half);
    }
    launch(call, timestep_kernel, blocks_for(n, kBlock, std::numeric_limits<int>::max()), kBlock, 0,
           buffers.inputs[0], buffers.outputs[0], n, half, call.attrs.get_bool("flip_sin_to_cos"),
           columns);
  }
}

}  // namespace

const Kernel kTimestepEmbedding = {.name = "timestep_embedding_cuda",
                                   .op = Op::timestep_embedding,
                                   .supports = supports,
                                   .launch = launch_timestep_embedding};

}  // namespace octavo::cuda
