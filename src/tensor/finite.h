#pragma once
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo {

// Whether the type has codes for NaN or Inf: floats of 8 bits and more.
bool may_be_not_finite(DType dtype);
// The lowest index of `elements` values (whole bytes each) that is NaN or infinite, or -1.
int64_t first_not_finite(DType dtype, const void* data, int64_t elements);

}  // namespace octavo
