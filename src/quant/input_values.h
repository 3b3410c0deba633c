#pragma once
// What calibration knows of a layer's input as it is rounded, that is behind the transform.
// Private to this floor.
#include <string>
#include <vector>

#include "io/weights.h"
#include "quant/matrix.h"
#include "quant/stats.h"

namespace octavo {

struct StepValues {
  int step = 0;
  float absmax = 0;  // of everything met; behind a rotation: of the recorded rows
  // Of |x|, bins of histogram.h: of everything met, behind a transform of the recorded rows.
  std::vector<uint64_t> histogram;
  Matrix rows;  // recorded, [rows, channels]
  // Of the largest magnitudes of single samples (batch entries): their sum and the least of them.
  double sample_absmax_sum = 0;
  float sample_absmax_min = 0;
};

// By step. Error{not_finite} names the layer when NaN or infinity was met: such a model overflows,
// and nothing fits it. Error when rows are needed (behind a transform) and none were recorded.
std::vector<StepValues> input_values(const LayerStats& stats, const InputTransform& transform,
                                     const std::string& layer);

// Over all steps, exact.
VectorD channel_means(const LayerStats& stats);
Vector channel_low(const LayerStats& stats);
Vector channel_high(const LayerStats& stats);
// At most `most` recorded rows, evenly spread over all; [rows, channels].
Matrix recorded_rows(const LayerStats& stats, int64_t most);

MatrixD moment_matrix(const SecondMoment& moment);  // E[x x^T]
VectorD moment_mean(const SecondMoment& moment);    // E[x] of the same inputs

}  // namespace octavo
