#pragma once
// The online softmax of one query's scores, with powers as exact as the library's or (kFast) as the
// hardware gives them, within 2 ulp of f32 plus 2^-23 of the exponent.
#include <cmath>

namespace octavo::cuda {

// Where no score so far was above -inf, all keys weigh 1: that is what a row without any finite
// score ends with, and a first finite score shrinks it all to 0.
template <bool kFast>
struct AttentionRow {
  float largest = -INFINITY, total = 0;

  // Before the weights of a tile whose largest score is `top`: shrinks `total` and returns the
  // factor for what else was summed so far.
  __device__ float raise(float top) {
    const float before = largest;
    largest = fmaxf(before, top);
    const float shrink = largest == -INFINITY ? 1.0f : power(before - largest);
    total *= shrink;
    return shrink;
  }
  __device__ float weight(float score) const {
    if (largest == -INFINITY) return score == -INFINITY ? 1.0f : score;  // score: NaN
    return power(score - largest);
  }

 private:
  __device__ static float power(float x) {
    if constexpr (!kFast) return expf(x);
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.44269504f));
    return y;
  }
};

}  // namespace octavo::cuda
