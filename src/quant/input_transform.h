#pragma once
// What is done to a layer's input before it is rounded, so that it rounds well:
//   x' = rotate((x - shift) * multiplier)
// and what makes up for it:  W' = W diag(1 / multiplier) rotated,  bias' = bias + W shift.  Up to
// rounding,  W' x' + bias' = W x + bias.  `rotate` is the Hadamard transform of consecutive blocks
// of channels: y = H x / sqrt(block), H[i][j] = (-1)^popcount(i & j), its own inverse. Private to
// this floor.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/weights.h"
#include "quant/input_values.h"
#include "quant/layer_words.h"
#include "quant/matrix.h"

namespace octavo {

// Rotates each row in blocks of `block` columns, a power of two that divides them; 0 does nothing.
void rotate_rows(Matrix& rows, int64_t block);

bool is_identity(const InputTransform& transform);
Matrix transform_rows(const Matrix& rows, const InputTransform& transform);
Matrix transform_weight(const Matrix& weight, const InputTransform& transform);
// E[x' x'^T] from E[x x^T] and E[x] over the same inputs.
MatrixD transform_moment(const MatrixD& second, const VectorD& mean,
                         const InputTransform& transform);
VectorD transform_mean(const VectorD& mean, const InputTransform& transform);

// Layers that are fed the same value and treated alike.
struct InputGroup {
  std::string name;      // of the first layer, for messages
  int64_t channels = 0;  // of the input
  size_t members = 0;
  std::function<Matrix(size_t)> weight;  // of a member, [out, channels]
  std::optional<QuantSpec> activation;
  QuantSpec weight_spec;  // the first member's
  LayerWords words;
  const LayerStats* stats = nullptr;  // never null where `words` need them
};

// The transform that the words ask for:
//   shift        mean: of each channel over all calibration inputs; middle: (min + max) / 2
//   smooth=A     1 / multiplier = absmax(x - shift)^A / absmax(W column, all members)^(1 - A)
//                (SmoothQuant, Xiao et al. 2023, arXiv:2211.10438), scaled to a geometric mean of 1
//                and held within [1e-4, 1e4]; 1 where either absmax is 0
//   smooth=rms   1 / multiplier = sqrt(rms(x - shift) / |W column| over all members): what spreads
//   the
//                error evenly where a rotation mixes the channels; bounds and scale as above
//   smooth=auto  A in steps of 0.05, the one with the least squared error of the members' outputs
//   on
//                recorded inputs, everything rounded to nearest with absmax scales
//   rotate       in blocks of the largest power of two that divides the channels, or as given
InputTransform solve_transform(const InputGroup& group);

// The block that `rotation` means for so many channels; 0 when it does not divide them.
int64_t rotation_block(int64_t rotation, int64_t channels);

}  // namespace octavo
