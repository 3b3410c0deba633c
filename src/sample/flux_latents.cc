#include "sample/flux_latents.h"

#include "base/check.h"

namespace octavo {

Tensor unpack_latents(const Tensor& tokens, int64_t height, int64_t width, float scaling_factor,
                      float shift_factor) {
  const int64_t n = tokens.dim(0), columns = width / 2, channels = tokens.dim(2) / 4;
  OCTAVO_CHECK(tokens.dtype() == DType::f32 && tokens.rank() == 3 && height % 2 == 0 &&
                   width % 2 == 0 && tokens.dim(1) == height / 2 * columns &&
                   tokens.dim(2) % 4 == 0,
               "latents are {}{}, expected f32[n, {}, 4 x channels]", name(tokens.dtype()),
               to_string(tokens.shape()), height / 2 * columns);
  Tensor result = Tensor::empty(DType::f32, {n, channels, height, width});
  const float* source = tokens.as<float>();
  float* out = result.as_mutable<float>();
  for (int64_t i = 0; i < n * channels * height; ++i) {
    const int64_t y = i % height, c = i / height % channels, sample = i / height / channels;
    for (int64_t x = 0; x < width; ++x) {
      const int64_t token = (sample * height / 2 + y / 2) * columns + x / 2;
      const float v = source[(token * channels + c) * 4 + y % 2 * 2 + x % 2];
      out[i * width + x] = v / scaling_factor + shift_factor;
    }
  }
  return result;
}

Tensor grid_ids(int64_t rows, int64_t columns) {
  Tensor ids = Tensor::zeros(DType::f32, {rows * columns, 3});
  float* id = ids.as_mutable<float>();
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column, id += 3) {
      id[1] = static_cast<float>(row);
      id[2] = static_cast<float>(column);
    }
  return ids;
}

}  // namespace octavo
