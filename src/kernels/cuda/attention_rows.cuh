#pragma once
// The online softmax of one query's scores.
#include <cmath>

namespace octavo::cuda {

// Where no score so far was above -inf, all keys weigh 1: that is what a row without any finite
// score ends with, and a first finite score shrinks it all to 0.
struct AttentionRow {
  float largest = -INFINITY, total = 0;

  // Before the weights of a tile whose largest score is `top`: shrinks `total` and returns the
  // factor for what else was summed so far.
  __device__ float raise(float top) {
    const float before = largest;
    largest = fmaxf(before, top);
    const float shrink = largest == -INFINITY ? 1.0f : expf(before - largest);
    total *= shrink;
    return shrink;
  }
  __device__ float weight(float score) const {
    if (largest == -INFINITY) return score == -INFINITY ? 1.0f : score;  // score: NaN
    return expf(score - largest);
  }
};

}  // namespace octavo::cuda
