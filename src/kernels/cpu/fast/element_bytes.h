#pragma once
// Elements moved as integers of their size.
#include <cstdint>

#include "base/check.h"

namespace octavo::cpu {

// f(T()) with an integer type of the element's size.
template <class F>
void dispatch_bytes(int64_t bytes, const F& f) {
  switch (bytes) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      OCTAVO_ASSERT(bytes == 8);
      return f(uint64_t{});
  }
}

}  // namespace octavo::cpu
