// add, sub, mul, div: a and b broadcast against each other as in NumPy.
#include "kernels/cpu/ref/operands.h"
#include "kernels/cpu/ref/ref.h"

namespace octavo::cpu {
namespace {

// Where row `row` of the output's last axis reads an operand, and its step along that axis.
struct RowAt {
  int64_t offset, step;
};

RowAt broadcast_row(const Shape& out, const Shape& in, int64_t row) {
  int64_t offset = 0, stride = last_dim(in);
  for (size_t back = 2; back <= out.size(); ++back) {
    const int64_t index = row % out[out.size() - back];
    row /= out[out.size() - back];
    if (back > in.size()) break;
    const int64_t extent = in[in.size() - back];
    offset += extent == 1 ? 0 : index * stride;
    stride *= extent;
  }
  return {offset, last_dim(in) == 1 ? 0 : 1};
}

template <class Operation>
void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  const FloatInputs in(call, buffers, arena);
  const FloatOutput out(call, buffers);
  const Shape& shape = call.outputs[0].shape;
  const int64_t n = last_dim(shape);
  for_rows(n == 0 ? 0 : leading_rows(shape), 2 * n, [&](int64_t row) {
    const RowAt a = broadcast_row(shape, shape_of(call, 0), row);
    const RowAt b = broadcast_row(shape, shape_of(call, 1), row);
    for (int64_t i = 0; i < n; ++i) {
      out.set(row * n + i, Operation{}(double{in[0][a.offset + i * a.step]},
                                       double{in[1][b.offset + i * b.step]}));
    }
  });
}

template <class Operation>
constexpr Kernel kernel(const char* name, Op op) {
  return {.name = name,
          .op = op,
          .supports = supports_floats,
          .workspace = float_inputs_workspace,
          .launch = launch<Operation>,
          .in_place = true};
}

}  // namespace

const Kernel kAddRef = kernel<std::plus<double>>("add_ref", Op::add);
const Kernel kSubRef = kernel<std::minus<double>>("sub_ref", Op::sub);
const Kernel kMulRef = kernel<std::multiplies<double>>("mul_ref", Op::mul);
const Kernel kDivRef = kernel<std::divides<double>>("div_ref", Op::div);

}  // namespace octavo::cpu
