// T5's bias [1, H, S, S]: table[bucket(key - query), head], buckets as the reference has them.
#include <cmath>

#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

enum Input : size_t { kTable, kLike };

struct Buckets {
  bool bidirectional;
  int64_t count;    // of one direction
  int64_t exact;    // smaller distances have a bucket each
  float log_range;  // log(max_distance / exact)

  // distance = key position - query position.
  __device__ int64_t of(int64_t distance) const {
    int64_t base = 0;
    if (bidirectional) {
      base = distance > 0 ? count : 0;
      distance = distance < 0 ? -distance : distance;
    } else {
      distance = distance < 0 ? -distance : 0;
    }
    if (distance < exact) return base + distance;
    const float ratio = static_cast<float>(distance) / static_cast<float>(exact);
    const float position = static_cast<float>(log(static_cast<double>(ratio))) / log_range *
                           static_cast<float>(count - exact);
    const int64_t bucket = exact + static_cast<int64_t>(position);
    return base + (bucket < count ? bucket : count - 1);
  }
};

template <class U>
struct Bias {
  const U* table;
  int64_t heads;
  Divisor size;
  Buckets buckets;
  __device__ U operator()(int64_t i) const {
    const int64_t row = size.quotient(i), key = i - row * size.value;
    const int64_t head = size.quotient(row), query = row - head * size.value;
    return table[buckets.of(key - query) * heads + head];
  }
};

Verdict supports(const Call& call) {
  const int64_t buckets = shape_of(call, kTable)[0], most = call.attrs.get_int("max_distance");
  const int64_t least = call.attrs.get_bool("bidirectional") ? 4 : 2;
  if (buckets < least || buckets / least >= most) {
    return Verdict::no(std::to_string(buckets) + " buckets do not spread over distances up to " +
                       std::to_string(most));
  }
  return supports_movement(call);
}

void launch_bias(const Call& call, const KernelState*, const Buffers& buffers) {
  const Shape& table = shape_of(call, kTable);
  const int64_t n = element_count(call.outputs[0].shape);
  if (n == 0) return;
  const bool bidirectional = call.attrs.get_bool("bidirectional");
  const int64_t count = bidirectional ? table[0] / 2 : table[0], exact = count / 2;
  const double range =
      static_cast<double>(call.attrs.get_int("max_distance")) / static_cast<double>(exact);
  const Buckets buckets{bidirectional, count, exact, static_cast<float>(std::log(range))};
  with_unit(element_bytes(call.outputs[0].dtype), [&](auto type) {
    using U = typename decltype(type)::type;
    launch_copy<U>(call, buffers.outputs[0], n,
                   Bias<U>{static_cast<const U*>(buffers.inputs[kTable]), table[1],
                           Divisor(shape_of(call, kLike)[1]), buckets});
  });
}

}  // namespace

const Kernel kRelativePositionBias = {.name = "relative_position_bias_cuda",
                                      .op = Op::relative_position_bias,
                                      .supports = supports,
                                      .launch = launch_bias};

}  // namespace octavo::cuda
