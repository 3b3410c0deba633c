// T5's bias [1, H, S, S]: table[bucket(key - query), head]. The bucket of a distance is
// transformers' T5Attention._relative_position_bucket, with its logarithm in f32.
#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "kernels/cpu/ref/ref.h"
#include "kernels/cpu/ref/strided_copy.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kTable, kLike };

// distance = key position - query position.
int64_t bucket_of(int64_t distance, bool bidirectional, int64_t buckets, int64_t max_distance) {
  int64_t base = 0;
  if (bidirectional) {
    buckets /= 2;
    base = distance > 0 ? buckets : 0;
    distance = std::abs(distance);
  } else {
    distance = std::max<int64_t>(0, -distance);
  }
  const int64_t exact = buckets / 2;
  if (distance < exact) return base + distance;
  const float ratio = static_cast<float>(distance) / static_cast<float>(exact);
  const double range = static_cast<double>(max_distance) / static_cast<double>(exact);
  const float position = static_cast<float>(std::log(double{ratio})) /
                         static_cast<float>(std::log(range)) * static_cast<float>(buckets - exact);
  return base + std::min(exact + static_cast<int64_t>(position), buckets - 1);
}

Verdict supports(const Call& call) {
  const int64_t buckets = shape_of(call, kTable)[0];
  const int64_t least = call.attrs.get_bool("bidirectional") ? 4 : 2;
  const int64_t exact = buckets / least;
  if (buckets < least || exact >= call.attrs.get_int("max_distance")) {
    return Verdict::no(fmt::format("{} buckets do not spread over distances up to {}", buckets,
                                   call.attrs.get_int("max_distance")));
  }
  return supports_movement(call);
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  const Shape& table = shape_of(call, kTable);
  const int64_t heads = table[1], size = shape_of(call, kLike)[1];
  const int64_t max_distance = call.attrs.get_int("max_distance");
  const bool bidirectional = call.attrs.get_bool("bidirectional");
  const int64_t bytes = element_bytes(call.outputs[0].dtype);
  for_rows(heads * size, size * 20, [&](int64_t row) {
    const int64_t h = row / size, query = row % size;
    for (int64_t key = 0; key < size; ++key) {
      const int64_t bucket = bucket_of(key - query, bidirectional, table[0], max_distance);
      std::memcpy(
          static_cast<std::byte*>(buffers.outputs[0]) + (row * size + key) * bytes,
          static_cast<const std::byte*>(buffers.inputs[kTable]) + (bucket * heads + h) * bytes,
          static_cast<size_t>(bytes));
    }
  });
}

}  // namespace

const Kernel kRelativePositionBiasRef = {.name = "relative_position_bias_ref",
                                         .op = Op::relative_position_bias,
                                         .supports = supports,
                                         .launch = launch};

}  // namespace octavo::cpu
