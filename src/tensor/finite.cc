#include "tensor/finite.h"

#include <algorithm>

namespace octavo {
namespace {

constexpr int64_t kBlock = 4096;

// In every format such values are those whose exponent's bits (e4m3: the mantissa's too; e8m0: all)
// are ones.
template <class Bits>
int64_t find(const void* data, int64_t elements, Bits mask) {
  const auto* values = static_cast<const Bits*>(data);
  const auto is_bad = [mask](Bits v) { return static_cast<Bits>(v & mask) == mask; };
  for (int64_t begin = 0; begin < elements; begin += kBlock) {
    const int64_t end = std::min(elements, begin + kBlock);
    Bits any = 0;  // no branches: the compiler makes vectors of it
    for (int64_t i = begin; i < end; ++i) any |= static_cast<Bits>(is_bad(values[i]) ? 1 : 0);
    if (any == 0) continue;
    return std::find_if(values + begin, values + end, is_bad) - values;
  }
  return -1;
}

}  // namespace

bool may_be_not_finite(DType dtype) { return is_float(dtype) && info(dtype).bits >= 8; }

int64_t first_not_finite(DType dtype, const void* data, int64_t elements) {
  switch (dtype) {
    case DType::f64:
      return find<uint64_t>(data, elements, 0x7ff0000000000000u);
    case DType::f32:
      return find<uint32_t>(data, elements, 0x7f800000u);
    case DType::f16:
      return find<uint16_t>(data, elements, 0x7c00u);
    case DType::bf16:
      return find<uint16_t>(data, elements, 0x7f80u);
    case DType::e5m2:
      return find<uint8_t>(data, elements, 0x7cu);
    case DType::e4m3:
      return find<uint8_t>(data, elements, 0x7fu);
    case DType::e8m0:
      return find<uint8_t>(data, elements, 0xffu);
    default:
      return -1;
  }
}

}  // namespace octavo
