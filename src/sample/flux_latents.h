#pragma once
#include "tensor/tensor.h"

namespace octavo {

// Flux packs 2x2 patches of a latent picture into tokens: [n, (h/2)(w/2), 4c] <-> [n, c, h, w];
// a token's channels are (c, row in patch, column in patch).
// Each value becomes z / scaling_factor + shift_factor, as the autoencoder takes it.
Tensor unpack_latents(const Tensor& tokens, int64_t height, int64_t width, float scaling_factor,
                      float shift_factor);

// Position ids of tokens in a grid: [rows * columns, 3] = (0, row, column).
Tensor grid_ids(int64_t rows, int64_t columns);

}  // namespace octavo
