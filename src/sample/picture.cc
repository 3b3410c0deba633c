#include "sample/picture.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace octavo {

std::vector<uint8_t> to_rgb8(const Tensor& picture) {
  OCTAVO_CHECK(picture.rank() == 3 && picture.dim(0) == 3 && picture.dtype() == DType::f32,
               "[picture] expected f32 [3, H, W], got {} {}", name(picture.dtype()),
               to_string(picture.shape()));
  const int64_t pixels = picture.dim(1) * picture.dim(2);
  std::vector<uint8_t> rgb(pixels * 3);
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t i = 0; i < pixels; ++i) {
      const float v = picture.as<float>()[c * pixels + i];
      OCTAVO_CHECK_CODE(not_finite, std::isfinite(v),
                        "[picture] pixel {} of channel {} is {}: the model's output is not finite",
                        i, c, v);
      // Half of [-1, 1] to [0, 1] first, then nearest with ties to even, as NumPy's round does.
      const float unit = std::clamp(v * 0.5f + 0.5f, 0.0f, 1.0f);
      rgb[i * 3 + c] = static_cast<uint8_t>(std::nearbyint(unit * 255.0f));
    }
  return rgb;
}

Image make_grid(const std::vector<Tensor>& pictures, int64_t columns, int64_t gap) {
  OCTAVO_CHECK(!pictures.empty(), "[grid] no pictures");
  const auto count = static_cast<int64_t>(pictures.size());
  if (columns <= 0)
    columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  columns = std::min(columns, count);
  const int64_t rows = (count + columns - 1) / columns;
  const int64_t h = pictures.front().dim(1), w = pictures.front().dim(2);
  Image grid{columns * w + (columns - 1) * gap, rows * h + (rows - 1) * gap, {}};
  grid.rgb.assign(grid.width * grid.height * 3, 255);
  for (int64_t i = 0; i < count; ++i) {
    OCTAVO_CHECK(pictures[i].shape() == pictures.front().shape(),
                 "[grid] picture {} is {} but the first is {}", i, to_string(pictures[i].shape()),
                 to_string(pictures.front().shape()));
    const std::vector<uint8_t> rgb = to_rgb8(pictures[i]);
    const int64_t left = i % columns * (w + gap), top = i / columns * (h + gap);
    for (int64_t y = 0; y < h; ++y)
      std::copy_n(rgb.begin() + y * w * 3, w * 3,
                  grid.rgb.begin() + ((top + y) * grid.width + left) * 3);
  }
  return grid;
}

}  // namespace octavo
