#include "quant/weight_grid.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/threads.h"
#include "tensor/codec.h"

namespace octavo {
namespace {

constexpr float kWhole = 12582912.0f;      // 1.5 x 2^23: adding it rounds to nearest even
constexpr float kWholeLimit = 1048576.0f;  // beyond any code, small enough for kWhole
constexpr int64_t kMaxRun = 256;           // values rounded at a time
constexpr int64_t kRowGrain = 8;

float round_even(float v) { return (v + kWhole) - kWhole; }

QuantSpec symmetric(QuantSpec spec) {
  spec.zero_point = false;
  return spec;
}

}  // namespace

WeightGrid::WeightGrid(const QuantSpec& spec, const Matrix& weight)
    : spec_(spec),
      format_(*find_dtype(spec.format)),
      rows_(weight.rows()),
      cols_(weight.cols()),
      rows_each_(std::max<int64_t>(1, spec.tile_rows ? spec.tile_rows : rows_)),
      cols_each_(std::max<int64_t>(1, spec.tile_cols ? spec.tile_cols : cols_)) {
  const QuantizedTensor q = quantize(to_tensor(weight), spec, MatrixView::weight, "weight");
  row_tiles_ = q.scale.dim(0);
  col_tiles_ = q.scale.dim(1);
  scale_ = whole_scale(q).to_floats();
  if (spec.has_tensor_scale()) tensor_scale_ = q.tensor_scale.as<float>()[0];
  if (spec.zero_point) zero_ = q.zero_point.to_floats();
  const int bits = info(format_).bits;
  const bool is_unsigned = spec.format[0] == 'u';
  low_ = is_unsigned ? 0 : -std::exp2(static_cast<float>(bits - 1));
  high_ = low_ + std::exp2(static_cast<float>(bits)) - 1;
}

WeightTile WeightGrid::extents(int64_t tile) const {
  const int64_t row = tile / col_tiles_ * rows_each_, col = tile % col_tiles_ * cols_each_;
  return {row, std::min(rows_each_, rows_ - row), col, std::min(cols_each_, cols_ - col)};
}

float WeightGrid::storable(int64_t tile, float scale) const {
  if (!(scale > 0) || !std::isfinite(scale)) return this->scale(tile);
  const float absmax = scale * top_code(spec_);
  if (spec_.has_tensor_scale()) {
    return tile_scale_for_absmax(spec_, absmax, tensor_scale_) * tensor_scale_;
  }
  return scale_for_absmax(symmetric(spec_), absmax);
}

void WeightGrid::set_range(int64_t tile, float low, float high) {
  OCTAVO_ASSERT(spec_.zero_point && low <= 0 && high >= 0);
  const float levels = high_ - low_, scale = storable(tile, (high - low) / levels);
  set_scale(tile, scale);
  const float below = std::min(-low / scale, kWholeLimit);
  zero_[static_cast<size_t>(tile)] = std::min(low_ + round_even(below), high_);
}

void WeightGrid::round_scaled(float* values, int64_t n) const {
  std::byte codes[kMaxRun * sizeof(float)];
  for (int64_t i = 0; i < n; i += kMaxRun) {
    const int64_t count = std::min(kMaxRun, n - i);
    encode_row(format_, values + i, codes, count);
    decode_row(format_, codes, values + i, count);
  }
}

void WeightGrid::round(float* values, const float* scales, const float* zeros, int64_t n) const {
  if (is_float(format_)) {
    const float limit = top_code(spec_);
    for (int64_t i = 0; i < n; ++i) values[i] = std::clamp(values[i] / scales[i], -limit, limit);
    round_scaled(values, n);
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const float v = std::clamp(values[i] / scales[i], -kWholeLimit, kWholeLimit);
    values[i] = std::clamp(round_even(v) + zeros[i], low_, high_);
  }
}

void WeightGrid::round_in_tile(float* values, int64_t tile, int64_t n) const {
  float scales[kMaxRun], zeros[kMaxRun];
  std::fill_n(scales, std::min(n, kMaxRun), scale(tile));
  std::fill_n(zeros, std::min(n, kMaxRun), zero(tile));
  for (int64_t i = 0; i < n; i += kMaxRun) {
    round(values + i, scales, zeros, std::min(kMaxRun, n - i));
  }
}

Matrix WeightGrid::round(const Matrix& weight) const {
  Matrix codes = weight;
  parallel_for(rows_, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c < cols_; c += cols_each_) {
        round_in_tile(codes.row(r).data() + c, tile(r, c), std::min(cols_each_, cols_ - c));
      }
    }
  });
  return codes;
}

Matrix WeightGrid::values(const Matrix& codes) const {
  Matrix result(codes.rows(), codes.cols());
  parallel_for(rows_, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c < cols_; ++c) {
        const int64_t t = tile(r, c);
        result(r, c) = (codes(r, c) - zero(t)) * scale(t);
      }
    }
  });
  return result;
}

QuantizedTensor WeightGrid::pack(const Matrix& codes, const Shape& shape) const {
  const Shape tiles{row_tiles_, col_tiles_};
  std::vector<float> scale = scale_;
  for (float& s : scale) s /= tensor_scale_;  // within a unit of what is stored, and rounded to it
  QuantizedTensor q{spec_, to_tensor(codes).reshaped(shape).to(format_),
                    Tensor::from(scale, tiles).to(scale_format(spec_)),
                    spec_.zero_point ? Tensor::from(zero_, tiles) : Tensor()};
  if (spec_.has_tensor_scale()) q.tensor_scale = Tensor::from({tensor_scale_}, {1, 1});
  return q;
}

}  // namespace octavo
