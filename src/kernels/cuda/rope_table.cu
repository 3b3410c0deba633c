// cos and sin of id * theta^(-2i/d), axes side by side, in double and rounded to f32 once.
// Frequencies are the host's and travel as a parameter, so that the device's angles have the
// reference's bits.
#include <cmath>

#include "kernels/cuda/index.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr int kBlock = 128;
constexpr int64_t kMaxColumns = 256;  // of a launch

struct Columns {
  Divisor count;
  int64_t begin;  // the first one's place in a row of the output
  double frequency[kMaxColumns];
  int axis[kMaxColumns];
};

template <class Id>
__global__ void rope_table_kernel(const Id* ids, int64_t axes, float* cosines, float* sines,
                                  int64_t n, int64_t row_columns,
                                  const __grid_constant__ Columns columns) {
  const int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (i >= n) return;
  const int64_t row = columns.count.quotient(i), column = i - row * columns.count.value;
  const auto id = static_cast<double>(ids[row * axes + columns.axis[column]]);
  double sine, cosine;
  sincos(id * columns.frequency[column], &sine, &cosine);
  const int64_t at = row * row_columns + columns.begin + column;
  cosines[at] = static_cast<float>(cosine);
  sines[at] = static_cast<float>(sine);
}

Verdict supports(const Call& call) {
  const DType ids = dtype_of(call, 0);
  if (ids == DType::f32 || ids == DType::i64) return Verdict::yes();
  return Verdict::no("ids are " + std::string(name(ids)) + ", not f32 or i64");
}

template <class Id>
void launch_columns(const Call& call, const Buffers& buffers, const Columns& columns) {
  const int64_t n = shape_of(call, 0)[0] * columns.count.value;
  launch(call, rope_table_kernel<Id>, blocks_for(n, kBlock, std::numeric_limits<int>::max()),
         kBlock, 0, buffers.inputs[0], shape_of(call, 0)[1], buffers.outputs[0], buffers.outputs[1],
         n, call.outputs[0].shape[1], columns);
}

void launch_rope_table(const Call& call, const KernelState*, const Buffers& buffers) {
  const double theta = call.attrs.get_double("theta");
  const auto& axes = call.attrs.get_ints("axes");
  Columns columns{{}, 0, {}, {}};
  int64_t count = 0;
  const auto flush = [&] {
    columns.count = Divisor(std::max<int64_t>(1, count));
    const bool is_float = dtype_of(call, 0) == DType::f32;
    if (count > 0 && is_float) launch_columns<float>(call, buffers, columns);
    if (count > 0 && !is_float) launch_columns<int64_t>(call, buffers, columns);
    columns.begin += count;
    count = 0;
  };
  for (size_t axis = 0; axis < axes.size(); ++axis) {
    for (int64_t i = 0; i < axes[axis] / 2; ++i) {
      const double exponent = static_cast<double>(2 * i) / static_cast<double>(axes[axis]);
      columns.frequency[count] = 1.0 / std::pow(theta, exponent);
      columns.axis[count] = static_cast<int>(axis);
      if (++count == kMaxColumns) flush();
    }
  }
  flush();
}

}  // namespace

const Kernel kRopeTable = {.name = "rope_table_cuda",
                           .op = Op::rope_table,
                           .supports = supports,
                           .launch = launch_rope_table};

}  // namespace octavo::cuda
