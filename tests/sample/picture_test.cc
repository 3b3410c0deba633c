#include "sample/picture.h"

#include <cmath>
#include <limits>

#include "plan/expect_error.h"
#include "sample/flux_latents.h"

namespace octavo {
namespace {

using test::expect_error;

Tensor plain(int64_t height, int64_t width, float value) {
  return Tensor::from(std::vector<float>(static_cast<size_t>(3 * height * width), value),
                      {3, height, width});
}

TEST(Picture, ChannelsAreInterleavedAndValuesRounded) {
  // Red, green, blue planes of one row of two pixels.
  const Tensor picture = Tensor::from({-1, 1, 0, 0.5f, -7, 7}, {3, 1, 2});
  EXPECT_EQ(to_rgb8(picture), (std::vector<uint8_t>{0, 128, 0, 255, 191, 255}));
}

TEST(Picture, RefusesWhatIsNoPicture) {
  expect_error(ErrorCode::invalid_argument, {"[1, 2, 2]"}, [] {
    to_rgb8(Tensor::zeros(DType::f32, {1, 2, 2}));
  });
  Tensor broken = plain(2, 2, 0);
  broken.as_mutable<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  expect_error(ErrorCode::not_finite, {"pixel 1 of channel 1", "nan"}, [&] { to_rgb8(broken); });
}

TEST(Picture, GridIsInRowsWithWhiteGaps) {
  const Image grid = make_grid({plain(2, 3, -1), plain(2, 3, -1), plain(2, 3, -1)}, 2, 1);
  EXPECT_EQ(grid.width, 7);
  EXPECT_EQ(grid.height, 5);
  const auto red = [&](int64_t x, int64_t y) {
    return static_cast<int>(grid.rgb[static_cast<size_t>(3 * (y * 7 + x))]);
  };
  EXPECT_EQ(red(0, 0), 0);
  EXPECT_EQ(red(3, 0), 255);  // gap
  EXPECT_EQ(red(4, 1), 0);
  EXPECT_EQ(red(0, 2), 255);  // gap
  EXPECT_EQ(red(2, 4), 0);
  EXPECT_EQ(red(5, 4), 255);                                        // no fourth picture
  EXPECT_EQ(make_grid({plain(1, 1, 0), plain(1, 1, 0)}).width, 4);  // near square
  expect_error(ErrorCode::invalid_argument, {"no pictures"}, [] { make_grid({}); });
  expect_error(ErrorCode::invalid_argument, {"picture 1", "[3, 2, 2]", "[3, 1, 1]"}, [] {
    make_grid({plain(1, 1, 0), plain(2, 2, 0)});
  });
}

TEST(FluxLatents, TokensAreTwoByTwoPatches) {
  // Two tokens side by side, two channels; a token lists channel 0's patch row by row, then 1's.
  std::vector<float> tokens;
  for (int i = 0; i < 16; ++i) tokens.push_back(static_cast<float>(i));
  const Tensor latent = unpack_latents(Tensor::from(tokens, {1, 2, 8}), 2, 4, 2, 100);
  ASSERT_EQ(latent.shape(), (Shape{1, 2, 2, 4}));
  const std::vector<float> order{0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15};
  for (size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(latent.as<float>()[i], order[i] / 2 + 100) << i;
  }
  expect_error(ErrorCode::invalid_argument, {"[1, 2, 8]", "f32[n, 4, 4 x channels]"}, [&] {
    unpack_latents(Tensor::from(tokens, {1, 2, 8}), 4, 4, 1, 0);
  });
  EXPECT_EQ(grid_ids(2, 3).to_floats(), (std::vector<float>{0, 0, 0, 0, 0, 1, 0, 0, 2,  //
                                                            0, 1, 0, 0, 1, 1, 0, 1, 2}));
}

}  // namespace
}  // namespace octavo
