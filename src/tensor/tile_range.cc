#include "tensor/tile_range.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "tensor/codec.h"

namespace octavo {
namespace {

// Of non-negative floats the bits themselves, of negative ones the complement of the magnitude.
constexpr int32_t swap_key(int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }
constexpr int32_t key_of(float v) { return swap_key(std::bit_cast<int32_t>(v)); }
constexpr float value_of(int32_t key) { return std::bit_cast<float>(swap_key(key)); }

constexpr float kInfinity = std::numeric_limits<float>::infinity();

KeyRange range_of(const float* v, int64_t n, bool magnitude) {
  int32_t low = 0, high = 0;
  if (magnitude) {
    for (int64_t i = 0; i < n; ++i) {
      high = std::max(high, std::bit_cast<int32_t>(v[i]) & 0x7fffffff);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      const int32_t key = key_of(v[i]);
      low = std::min(low, key);
      high = std::max(high, key);
    }
  }
  return {low, high};
}

}  // namespace

void KeyRange::merge(const KeyRange& other) {
  low = std::min(low, other.low);
  high = std::max(high, other.high);
}

bool KeyRange::is_finite() const { return key_of(-kInfinity) < low && high < key_of(kInfinity); }
float KeyRange::min() const { return value_of(low); }
float KeyRange::max() const { return value_of(high); }

void load(const Tensor& source, const MatrixRows& m, int64_t row, int64_t col, float* dst,
          int64_t n) {
  const auto* data = static_cast<const std::byte*>(source.data());
  decode_row(source.dtype(), data + row_bytes(source.dtype(), row * m.cols + col), dst, n);
}

std::vector<KeyRange> tile_ranges(const Tensor& source, const MatrixRows& m, const Tiles& tiles,
                                  bool magnitude) {
  std::vector<KeyRange> by_row(static_cast<size_t>(m.rows * tiles.col_count));
  m.for_each_row([&](int64_t r) {
    float values[kChunk];
    m.for_each_chunk([&](int64_t col, int64_t n) {
      load(source, m, r, col, values, n);
      tiles.for_each_part(col, n, [&](int64_t tile, int64_t begin, int64_t count) {
        by_row[static_cast<size_t>(r * tiles.col_count + tile)].merge(
            range_of(values + begin, count, magnitude));
      });
    });
  });
  if (m.rows == tiles.row_count) return by_row;
  std::vector<KeyRange> ranges(static_cast<size_t>(tiles.size()));
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t t = 0; t < tiles.col_count; ++t) {
      ranges[static_cast<size_t>(tiles.at(r, t))].merge(
          by_row[static_cast<size_t>(r * tiles.col_count + t)]);
    }
  }
  return ranges;
}

}  // namespace octavo
