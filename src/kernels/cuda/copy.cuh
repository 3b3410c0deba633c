#pragma once
// Data movement: elements of any type of whole bytes, moved in the widest units (up to 16 bytes)
// that addresses and strides allow.
#include <limits>

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/index.cuh"

namespace octavo::cuda {

inline int64_t element_bytes(DType dtype) { return info(dtype).bits / 8; }

// Refuses packed types.
inline Verdict supports_movement(const Call& call) {
  for (const auto& input : call.inputs) {
    if (input && info(input->dtype).bits < 8) {
      return Verdict::no("elements of " + std::string(name(input->dtype)) + " are packed");
    }
  }
  return supports_rank(call);
}

// The largest power of two up to 16 that divides everything it was shown.
class CommonUnit {
 public:
  CommonUnit& divides(int64_t bytes) {
    bits_ |= static_cast<uint64_t>(bytes);
    return *this;
  }
  CommonUnit& divides(const void* address) {
    bits_ |= reinterpret_cast<uintptr_t>(address);
    return *this;
  }
  int64_t bytes() const { return static_cast<int64_t>(bits_ & (~bits_ + 1)); }

 private:
  uint64_t bits_ = 16;
};

// body(Type<U>{}) for a unit of 1, 2, 4, 8 or 16 bytes.
template <class Body>
void with_unit(int64_t bytes, Body&& body) {
  switch (bytes) {
    case 1:
      return body(Type<uint8_t>{});
    case 2:
      return body(Type<uint16_t>{});
    case 4:
      return body(Type<uint32_t>{});
    case 8:
      return body(Type<uint2>{});
    default:
      return body(Type<uint4>{});
  }
}

constexpr int kCopyBlock = 256;
constexpr int kCopyUnits = 2;  // a thread's; all are loaded before the first is stored

// dst[i] = source(i) for i < n.
template <class U, class Source>
__global__ void copy_kernel(U* dst, int64_t n, const __grid_constant__ Source source) {
  await_earlier_launches();
  const int64_t first = int64_t{blockIdx.x} * (kCopyUnits * kCopyBlock) + threadIdx.x;
  U unit[kCopyUnits];
#pragma unroll
  for (int k = 0; k < kCopyUnits; ++k) {
    if (first + k * kCopyBlock < n) unit[k] = source(first + k * kCopyBlock);
  }
#pragma unroll
  for (int k = 0; k < kCopyUnits; ++k) {
    if (first + k * kCopyBlock < n) dst[first + k * kCopyBlock] = unit[k];
  }
}
template <class U, class Source>
void launch_copy(const Call& call, void* dst, int64_t n, const Source& source) {
  launch<Start::overlapped>(call, copy_kernel<U, Source>,
                            blocks_for(n, kCopyBlock * kCopyUnits, std::numeric_limits<int>::max()),
                            kCopyBlock, 0, dst, n, source);
}

// dst, dense with `axes` (outermost first) = the elements of src that the axes' steps reach.
void strided_copy(const Call& call, const Axes<1>& axes, int64_t bytes, const void* src, void* dst);

}  // namespace octavo::cuda
