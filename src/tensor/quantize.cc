#include "tensor/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/threads.h"
#include "tensor/codec.h"
#include "tensor/matrix_rows.h"
#include "tensor/tile_range.h"

namespace octavo {
namespace {

constexpr float kFloor = 1e-12f;           // of absmax, and of max - min
constexpr int64_t kTileGrain = 4096;       // tiles whose scales a thread chooses at a time
constexpr float kWhole = 12582912.0f;      // 1.5 x 2^23: adding it rounds to nearest even
constexpr float kWholeLimit = 1048576.0f;  // beyond any code, small enough for kWhole

DType codes_format(const QuantSpec& spec) { return *find_dtype(spec.format); }

// |v| <= kWholeLimit, to the nearest integer.
float round_even(float v) { return (v + kWhole) - kWhole; }

constexpr float kMostE4M3 = 448;

// 2^floor(log2 v) of a normal number > 0.
float floor_to_power(float v) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(v) & 0x7f800000u);
}

// s > 0, to the nearest value of the format (e8m0: the next), never 0 or infinite.
float round_scale(DType format, float s) {
  if (format == DType::e8m0) {
    s = std::bit_cast<float>((std::bit_cast<uint32_t>(s) + 0x7fffffu) & 0x7f800000u);
  }
  s = std::min(s, static_cast<float>(info(format).max));
  return decode(format, std::max(1u, encode(format, s)));
}

// The place of a flat index, in text: [3, 17].
std::string index_text(const Shape& shape, int64_t flat) {
  Shape index(shape);
  for (size_t axis = index.size(); axis-- > 0;) {
    const int64_t dim = std::exchange(index[axis], flat % shape[axis]);
    flat /= dim;
  }
  return to_string(index);
}

void check_finite(const std::vector<KeyRange>& ranges, const Tensor& source,
                  std::string_view what) {
  if (std::all_of(ranges.begin(), ranges.end(), [](const KeyRange& r) { return r.is_finite(); })) {
    return;
  }
  const std::vector<float> values = source.to_floats();
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  OCTAVO_ASSERT(bad != values.end());
  OCTAVO_FAIL(not_finite, "{}: element {} of {} {} is {}; only finite values can be quantized",
              what, index_text(source.shape(), bad - values.begin()), name(source.dtype()),
              to_string(source.shape()), *bad);
}

// v = v / scale, within what the format can hold; then, on the grid of a zero point, + zero_point.
void to_code_values(float* v, int64_t n, float scale, float limit, const float* zero_point) {
  for (int64_t i = 0; i < n; ++i) {
    float x = v[i] / scale;
    x = x > limit ? limit : x;
    v[i] = x < -limit ? -limit : x;
  }
  if (zero_point == nullptr) return;
  for (int64_t i = 0; i < n; ++i) v[i] = round_even(v[i]) + *zero_point;
}

// Fills q.codes from q.scale and q.zero_point.
void write_codes(const Tensor& source, MatrixView view, QuantizedTensor& q) {
  const DType format = q.codes.dtype();
  const MatrixRows m(format, q.codes.shape(), view);
  const Tiles tiles(q.spec, m.rows, m.cols);
  const Tensor scale = whole_scale(q);
  const float limit = is_float(format) ? top_code(q.spec) : kWholeLimit;
  auto* codes = static_cast<std::byte*>(q.codes.mutable_data());
  m.for_each_row([&](int64_t r) {
    float values[kChunk];
    m.for_each_chunk([&](int64_t col, int64_t n) {
      load(source, m, r, col, values, n);
      tiles.for_each_part(col, n, [&](int64_t tile, int64_t begin, int64_t count) {
        const int64_t t = tiles.at(r, tile);
        const float* zero = q.zero_point.has_data() ? q.zero_point.as<float>() + t : nullptr;
        to_code_values(values + begin, count, scale.as<float>()[t], limit, zero);
      });
      encode_row(format, values, codes + m.byte_offset(format, r, col), n);
    });
  });
}

void check_source(const Tensor& source, std::string_view what) {
  OCTAVO_CHECK(source.has_data(), "{}: {} {} has no data to quantize", what, name(source.dtype()),
               to_string(source.shape()));
  OCTAVO_CHECK(is_float(source.dtype()) && info(source.dtype()).bits >= 8,
               "{}: {} cannot be quantized; expected a float type of 8 bits or more", what,
               name(source.dtype()));
}

QuantizedTensor allocate(const Tensor& source, const QuantSpec& spec, const Tiles& tiles) {
  return {spec, Tensor::empty(codes_format(spec), source.shape()),
          Tensor::empty(scale_format(spec), tiles.shape()),
          spec.zero_point ? Tensor::empty(DType::f32, tiles.shape()) : Tensor()};
}

// The tensor's scale into q, of two-level specs; 1 otherwise.
float choose_tensor_scale(const std::vector<KeyRange>& ranges, QuantizedTensor& q) {
  if (!q.spec.has_tensor_scale()) return 1;
  KeyRange all;
  for (const KeyRange& range : ranges) all.merge(range);
  const float scale = tensor_scale_for_absmax(q.spec, all.max());
  q.tensor_scale = Tensor::from({scale}, {1, 1});
  return scale;
}

// Fills q.scale and q.zero_point.
void choose_scales(const std::vector<KeyRange>& ranges, QuantizedTensor& q) {
  const DType scale_format = q.scale.dtype();
  const float top = top_code(q.spec), low = static_cast<float>(lowest(q.codes.dtype()));
  const float levels = top - low, tensor_scale = choose_tensor_scale(ranges, q);
  std::vector<float> scales(ranges.size());
  parallel_for(static_cast<int64_t>(ranges.size()), kTileGrain, [&](int64_t begin, int64_t end) {
    for (auto t = static_cast<size_t>(begin); t < static_cast<size_t>(end); ++t) {
      const float min = ranges[t].min(), max = ranges[t].max();
      if (!q.spec.zero_point) {
        scales[t] = q.spec.has_tensor_scale() ? tile_scale_for_absmax(q.spec, max, tensor_scale)
                                              : scale_for_absmax(q.spec, max);
        continue;
      }
      scales[t] = round_scale(scale_format, std::max(max - min, kFloor) / levels);
      const float below = std::min(-min / scales[t], kWholeLimit);
      q.zero_point.as_mutable<float>()[t] = std::min(low + round_even(below), low + levels);
    }
  });
  encode_row(scale_format, scales.data(), q.scale.mutable_data(),
             static_cast<int64_t>(scales.size()));
}

}  // namespace

std::pair<int64_t, int64_t> matrix_extents(const Shape& shape, MatrixView view) {
  element_count(shape);
  if (shape.empty()) return {1, 1};
  const auto split = view == MatrixView::weight ? shape.begin() + 1 : shape.end() - 1;
  return {element_count({shape.begin(), split}), element_count({split, shape.end()})};
}

float top_code(const QuantSpec& spec) { return static_cast<float>(info(codes_format(spec)).max); }

DType scale_format(const QuantSpec& spec) {
  if (spec.has_tensor_scale()) return DType::e4m3;
  return spec.scale == "mx" ? DType::e8m0 : *find_dtype(spec.scale);
}

Tensor whole_scale(const QuantizedTensor& q) {
  if (!q.tensor_scale.has_data()) return q.scale.to(DType::f32);
  std::vector<float> scales = q.scale.to_floats();
  for (float& s : scales) s *= q.tensor_scale.as<float>()[0];
  return Tensor::from(scales, q.scale.shape());
}

double bits_per_value(const QuantSpec& spec, int64_t rows, int64_t cols) {
  const auto codes = static_cast<double>(rows * row_bytes(codes_format(spec), cols) * 8);
  const int each = info(scale_format(spec)).bits + (spec.zero_point ? 32 : 0);
  const auto scales = static_cast<double>(element_count(spec.scale_shape(rows, cols)) * each);
  return (codes + scales + (spec.has_tensor_scale() ? 32 : 0)) / static_cast<double>(rows * cols);
}

float scale_for_absmax(const QuantSpec& spec, float absmax) {
  OCTAVO_ASSERT(!spec.zero_point && !spec.has_tensor_scale());
  OCTAVO_ASSERT(absmax >= 0 && std::isfinite(absmax));
  const float top = top_code(spec), largest = std::max(absmax, kFloor);
  // Both powers of two: the quotient is exact.
  if (spec.scale == "mx") return floor_to_power(largest) / floor_to_power(top);
  return round_scale(scale_format(spec), largest / top);
}

float tensor_scale_for_absmax(const QuantSpec& spec, float absmax) {
  OCTAVO_ASSERT(spec.has_tensor_scale() && absmax >= 0 && std::isfinite(absmax));
  return std::max(absmax, kFloor) / (top_code(spec) * kMostE4M3);
}

float tile_scale_for_absmax(const QuantSpec& spec, float absmax, float tensor_scale) {
  OCTAVO_ASSERT(spec.has_tensor_scale() && absmax >= 0 && std::isfinite(absmax));
  if (absmax == 0) return 1;
  return round_scale(DType::e4m3, absmax / (top_code(spec) * tensor_scale));
}

QuantizedTensor quantize(const Tensor& source, const QuantSpec& spec, MatrixView view,
                         std::string_view what) {
  spec.validate();
  check_source(source, what);
  const MatrixRows m(source.dtype(), source.shape(), view);
  const Tiles tiles(spec, m.rows, m.cols);
  const std::vector<KeyRange> ranges = tile_ranges(source, m, tiles, !spec.zero_point);
  check_finite(ranges, source, what);
  QuantizedTensor q = allocate(source, spec, tiles);
  choose_scales(ranges, q);
  write_codes(source, view, q);
  return q;
}

QuantizedTensor quantize_with_scale(const Tensor& source, const QuantSpec& spec, MatrixView view,
                                    const Tensor& scale, std::string_view what) {
  spec.validate();
  check_source(source, what);
  OCTAVO_CHECK(!spec.zero_point, "{}: '{}' needs a zero point beside the scale", what, spec.text());
  const MatrixRows m(source.dtype(), source.shape(), view);
  const Tiles tiles(spec, m.rows, m.cols);
  OCTAVO_CHECK(!spec.has_tensor_scale(), "{}: '{}' needs a scale for the tensor beside the tiles'",
               what, spec.text());
  OCTAVO_CHECK(scale.dtype() == scale_format(spec) && scale.shape() == tiles.shape(),
               "{}: scale is {} {}; '{}' needs {} {}", what, name(scale.dtype()),
               to_string(scale.shape()), spec.text(), name(scale_format(spec)),
               to_string(tiles.shape()));
  for (const float s : scale.to_floats()) {
    OCTAVO_CHECK(s > 0 && std::isfinite(s), "{}: scale {} is not a positive finite number", what,
                 s);
  }
  const Tiles by_row(QuantSpec{.tile_rows = 1}, m.rows, m.cols);
  check_finite(tile_ranges(source, m, by_row, true), source, what);
  QuantizedTensor q{spec, Tensor::empty(codes_format(spec), source.shape()), scale, Tensor()};
  write_codes(source, view, q);
  return q;
}

Tensor dequantize(const QuantizedTensor& q, MatrixView view) {
  const DType format = q.codes.dtype();
  const MatrixRows m(format, q.codes.shape(), view);
  const Tiles tiles(q.spec, m.rows, m.cols);
  const Tensor scale = whole_scale(q);
  Tensor out = Tensor::empty(DType::f32, q.codes.shape());
  const auto* codes = static_cast<const std::byte*>(q.codes.data());
  m.for_each_row([&](int64_t r) {
    m.for_each_chunk([&](int64_t col, int64_t n) {
      float* values = out.as_mutable<float>() + r * m.cols + col;
      decode_row(format, codes + m.byte_offset(format, r, col), values, n);
      tiles.for_each_part(col, n, [&](int64_t tile, int64_t begin, int64_t count) {
        const int64_t t = tiles.at(r, tile);
        const float s = scale.as<float>()[t];
        const float zero = q.zero_point.has_data() ? q.zero_point.as<float>()[t] : 0.0f;
        for (int64_t i = begin; i < begin + count; ++i) values[i] = (values[i] - zero) * s;
      });
    });
  });
  return out;
}

}  // namespace octavo
