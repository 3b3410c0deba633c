#pragma once
// Reductions over the threads of a row, in a fixed order: same bits in every run and in every
// thread.
#include <cstdint>

namespace octavo::cuda {

struct Sum {
  static constexpr float kIdentity = 0.0f;
  __device__ static float of(float a, float b) { return a + b; }
};
// Of magnitudes, with NaN on top. The bits of magnitudes order as their values do.
struct Largest {
  static constexpr float kIdentity = 0.0f;
  __device__ static float of(float a, float b) {
    float larger;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
    return larger;
  }
};
__device__ inline float magnitude(float v) { return fabsf(v); }

// Over groups of kLanes neighbouring lanes, a power of two. All 32 lanes of the warp take part.
template <class Op, int kLanes = 32>
__device__ float reduce_lanes(float v) {
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) {
    v = Op::of(v, __shfl_xor_sync(0xffffffffu, v, step));
  }
  return v;
}

// Over the threads of one blockDim.x: whole warps, at most 32. Where that is one warp, blockDim.y
// rows share the block and nobody waits. One RowReduction serves kTimes reductions.
template <int kTimes>
class RowReduction {
 public:
  struct Slots {
    float of[kTimes][32];
  };
  __device__ explicit RowReduction(Slots& slots) : slots_(slots) {}  // in shared memory

  template <class Op>
  __device__ float reduce(float v) {
    v = reduce_lanes<Op>(v);
    if (blockDim.x == 32) return v;
    float* slots = slots_.of[used_++];
    const unsigned lane = threadIdx.x % 32, warps = blockDim.x / 32;
    if (lane == 0) slots[threadIdx.x / 32] = v;
    __syncthreads();
    return reduce_lanes<Op>(lane < warps ? slots[lane] : Op::kIdentity);
  }

 private:
  Slots& slots_;
  int used_ = 0;
};

}  // namespace octavo::cuda
