// The table of CUDA kernels: one row a kernel, grouped by op, best first.
#include <vector>

#include "kernels/cuda/table.h"

namespace octavo {
namespace {

const Kernel* const kRows[] = {
    // quantization
    &cuda::kQuantize,
    // element-wise
    &cuda::kSilu,
};

}  // namespace

std::span<const Kernel> cuda_kernels(Op op) {
  static const std::vector<std::vector<Kernel>> by_op = [] {
    std::vector<std::vector<Kernel>> table(static_cast<size_t>(Op::count_));
    for (const Kernel* row : kRows) table[static_cast<size_t>(row->op)].push_back(*row);
    return table;
  }();
  return by_op[static_cast<size_t>(op)];
}

}  // namespace octavo
