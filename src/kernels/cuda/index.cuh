#pragma once
// Loops over dense arrays whose operands are strided: axes are merged on the host, and a thread
// finds its operands' offsets with a multiplication an axis instead of a division.
#include <array>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda.h"

namespace octavo::cuda {

constexpr int kMaxAxes = 16;

// n / value for 0 <= n < 2^63. With l = ceil(log2 value) the multiplier ceil(2^(63 + l) / value)
// is too large by less than 2^l / value, which no such n makes visible (Granlund, Montgomery 1994).
struct Divisor {
  int64_t value = 1;
  uint64_t multiplier = uint64_t{1} << 63;
  int shift = 0;

  Divisor() = default;
  explicit Divisor(int64_t d) : value(d) {
    while (shift < 62 && int64_t{1} << shift < d) ++shift;
    const auto power = static_cast<unsigned __int128>(1) << (63 + shift);
    const auto divisor = static_cast<unsigned __int128>(d);
    multiplier = static_cast<uint64_t>((power + divisor - 1) / divisor);
  }
  __device__ int64_t quotient(int64_t n) const {
    const auto twice = static_cast<unsigned long long>(n) << 1;
    return static_cast<int64_t>(__umul64hi(twice, multiplier) >> shift);
  }
};

// One axis of a loop: how far a step along it moves in each of K operands.
template <int K>
struct Axis {
  int64_t extent;
  std::array<int64_t, K> step;
};
template <int K>
using Axes = std::vector<Axis<K>>;

inline std::vector<int64_t> dense_steps(const Shape& shape) {
  std::vector<int64_t> steps(shape.size(), 1);
  for (size_t axis = shape.size(); axis-- > 1;) steps[axis - 1] = steps[axis] * shape[axis];
  return steps;
}
// Steps of an operand that broadcasts to `out` as in NumPy: 0 where it repeats.
inline std::vector<int64_t> broadcast_steps(const Shape& in, const Shape& out) {
  std::vector<int64_t> steps(out.size() - in.size(), 0), dense = dense_steps(in);
  for (size_t axis = 0; axis < in.size(); ++axis) {
    steps.push_back(in[axis] == 1 ? 0 : dense[axis]);
  }
  return steps;
}

// The same loop, innermost axis first: without axes of extent 1, neighbours that are one loop
// merged. At least one axis is left. `axes` are outermost first.
template <int K>
Axes<K> merged(const Axes<K>& axes) {
  Axes<K> result;
  for (size_t i = axes.size(); i-- > 0;) {
    const Axis<K>& axis = axes[i];
    if (axis.extent == 1) continue;
    bool joins = !result.empty();
    for (int k = 0; joins && k < K; ++k) {
      joins = axis.step[k] == result.back().step[k] * result.back().extent;
    }
    if (joins) {
      result.back().extent *= axis.extent;
    } else {
      result.push_back(axis);
    }
  }
  if (result.empty()) result.emplace_back(Axis<K>{1, {}}).step.fill(1);
  return result;
}

template <int K>
struct Offsets {
  int64_t of[K];
};

// Element i of the loop -> where its operands are. Axes innermost first, at most kMaxAxes.
template <int K>
struct Index {
  int count = 0;
  Divisor extent[kMaxAxes];
  int64_t step[kMaxAxes][K];

  explicit Index(const Axes<K>& axes) {
    for (const Axis<K>& axis : axes) {
      extent[count] = Divisor(axis.extent);
      for (int k = 0; k < K; ++k) step[count][k] = axis.step[k];
      ++count;
    }
  }
  __device__ Offsets<K> at(int64_t i) const {
    Offsets<K> offsets = {};
    for (int axis = 0; axis < count; ++axis) {
      const bool last = axis == count - 1;
      const int64_t outer = last ? 0 : extent[axis].quotient(i);
      const int64_t index = i - outer * extent[axis].value;
      for (int k = 0; k < K; ++k) offsets.of[k] += index * step[axis][k];
      i = outer;
    }
    return offsets;
  }
};

inline Verdict supports_rank(const Call& call) {
  if (call.outputs[0].shape.size() <= kMaxAxes) return Verdict::yes();
  return Verdict::no("the output has more than " + std::to_string(kMaxAxes) + " axes");
}

}  // namespace octavo::cuda
