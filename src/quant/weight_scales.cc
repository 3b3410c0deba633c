#include "quant/weight_scales.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/threads.h"

namespace octavo {
namespace {

constexpr int64_t kTileGrain = 16;
// Fractions of absmax tried: 1, then from kHighest down by equal factors to kLowest. Above 1 pays
// where absmax falls between the sparse codes of few bits, the lowest is for two bits.
constexpr int kTried = 48;
constexpr float kHighest = 1.2f, kLowest = 0.3f;

float fraction(int i) {
  if (i == 0) return 1;
  const float step = static_cast<float>(i - 1) / (kTried - 1);
  return kHighest * std::pow(kLowest / kHighest, step);
}

double tile_error(const Matrix& weight, const Vector& importance, const WeightGrid& grid,
                  int64_t tile, const WeightTile& t, std::vector<float>& codes) {
  const float scale = grid.scale(tile), zero = grid.zero(tile);
  double sum = 0;
  for (int64_t r = t.row; r < t.row + t.rows; ++r) {
    const float* w = weight.row(r).data() + t.col;
    std::copy_n(w, t.cols, codes.data());
    grid.round_in_tile(codes.data(), tile, t.cols);
    float row = 0;
    for (int64_t c = 0; c < t.cols; ++c) {
      const float e = w[c] - (codes[static_cast<size_t>(c)] - zero) * scale;
      row += importance[t.col + c] * e * e;
    }
    sum += row;
  }
  return sum;
}

struct Range {
  float low = 0, high = 0;
};

Range range_of(const Matrix& weight, const WeightTile& t) {
  const auto block = weight.block(t.row, t.col, t.rows, t.cols);
  return {std::min(0.0f, block.minCoeff()), std::max(0.0f, block.maxCoeff())};
}

void clip_tile(const Matrix& weight, const Vector& importance, int64_t tile, WeightGrid& grid) {
  const WeightTile t = grid.extents(tile);
  const float full = grid.scale(tile);
  const Range range = range_of(weight, t);
  const bool has_zero = grid.spec().zero_point;
  const auto choose = [&](float f) {
    if (has_zero) {
      grid.set_range(tile, range.low * f, range.high * f);
    } else {
      grid.set_scale(tile, f == 1 ? full : grid.storable(tile, full * f));
    }
  };
  std::vector<float> codes(static_cast<size_t>(t.cols));
  float best_fraction = 1;
  double best = 0;
  for (int i = 0; i < kTried + 1; ++i) {
    choose(fraction(i));
    const double error = tile_error(weight, importance, grid, tile, t, codes);
    if (i == 0 || error < best) {
      best = error;
      best_fraction = fraction(i);
    }
  }
  choose(best_fraction);
}

}  // namespace

void clip_scales(const Matrix& weight, const Vector& importance, WeightGrid& grid) {
  OCTAVO_ASSERT(importance.size() == weight.cols());
  parallel_for(grid.tiles(), kTileGrain, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) clip_tile(weight, importance, tile, grid);
  });
}

}  // namespace octavo
