#include "quant/second_moment.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/threads.h"
#include "kernels/cpu/fast/matmul.h"

namespace octavo {
namespace {

constexpr int64_t kTile = 64;  // channels; products of two tiles are one job

struct Words {
  int64_t low, high;
};

Int128 join(Words words) {
  return static_cast<Int128>(static_cast<unsigned __int128>(static_cast<uint64_t>(words.high))
                                 << 64 |
                             static_cast<uint64_t>(words.low));
}

Words split(Int128 value) {
  return {static_cast<int64_t>(static_cast<uint64_t>(value)), static_cast<int64_t>(value >> 64)};
}

void add_to(Words& words, Int128 value) { words = split(join(words) + value); }

Tensor zero_sums(int64_t count) { return Tensor::zeros(DType::i64, {count, 2}); }

void add_all(Tensor& sums, const Tensor& other) {
  Words* to = static_cast<Words*>(sums.mutable_data());
  const Words* from = static_cast<const Words*>(other.data());
  constexpr int64_t kGrain = 1 << 16;
  parallel_for(sums.dim(0), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) add_to(to[i], join(from[i]));
  });
}

// Transposed and padded with zeros to kBlockRows rows and whole tiles of channels: [tiles * kTile,
// kBlockRows], so that all products have one shape.
std::vector<float> transposed(const float* rows, int64_t count, int64_t channels, int64_t tiles) {
  constexpr int64_t kRows = SecondMoment::kBlockRows;
  std::vector<float> result(static_cast<size_t>(tiles * kTile * kRows));
  parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin * kTile; c < std::min(end * kTile, channels); ++c) {
      for (int64_t r = 0; r < count; ++r) result[c * kRows + r] = rows[r * channels + c];
    }
  });
  return result;
}

}  // namespace

SecondMoment::SecondMoment(int64_t channels)
    : channels_(channels),
      products_(zero_sums(triangle(channels))),
      sum_(zero_sums(channels)),
      own_(true) {}

SecondMoment::SecondMoment(Tensor products, Tensor sum, uint64_t rows)
    : channels_(sum.dim(0)), rows_(rows), products_(std::move(products)), sum_(std::move(sum)) {
  OCTAVO_ASSERT(products_.dim(0) == triangle(channels_));
}

SecondMoment::SecondMoment(const SecondMoment& other)
    : channels_(other.channels_),
      rows_(other.rows_),
      products_(other.own_ ? other.products_.clone() : other.products_),
      sum_(other.own_ ? other.sum_.clone() : other.sum_),
      own_(other.own_) {}

SecondMoment& SecondMoment::operator=(SecondMoment other) {
  channels_ = other.channels_;
  rows_ = other.rows_;
  products_ = std::move(other.products_);
  sum_ = std::move(other.sum_);
  own_ = other.own_;
  return *this;
}

void SecondMoment::make_own() {
  if (own_) return;
  products_ = products_.clone();
  sum_ = sum_.clone();
  own_ = true;
}

size_t SecondMoment::bytes(int64_t channels) {
  return static_cast<size_t>(triangle(channels) + channels) * sizeof(Words);
}

std::vector<double> SecondMoment::matrix() const {
  OCTAVO_ASSERT(rows_ > 0);
  const int64_t n = channels_;
  const Words* sums = static_cast<const Words*>(products_.data());
  std::vector<double> matrix(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j, ++sums) {
      const double mean = kMomentSum.value(join(*sums)) / static_cast<double>(rows_);
      matrix[i * n + j] = matrix[j * n + i] = mean;
    }
  }
  return matrix;
}

std::vector<double> SecondMoment::mean() const {
  OCTAVO_ASSERT(rows_ > 0);
  const Words* sums = static_cast<const Words*>(sum_.data());
  std::vector<double> mean(static_cast<size_t>(channels_));
  for (int64_t i = 0; i < channels_; ++i) {
    mean[i] = kMomentSum.value(join(sums[i])) / static_cast<double>(rows_);
  }
  return mean;
}

void SecondMoment::add(const float* rows, int64_t count) {
  OCTAVO_ASSERT(count >= 0 && count <= kBlockRows);
  make_own();
  const int64_t n = channels_, tiles = (n + kTile - 1) / kTile;
  const std::vector<float> columns = transposed(rows, count, n, tiles);
  const cpu::Matmul& product = cpu::Matmul::get({.m = kTile,
                                                 .n = kTile,
                                                 .k = kBlockRows,
                                                 .lda = kBlockRows,
                                                 .ldc = kTile,
                                                 .ldb_k = 1,
                                                 .ldb_n = kBlockRows});
  Words* sums = static_cast<Words*>(products_.mutable_data());
  Words* sum = static_cast<Words*>(sum_.mutable_data());
  // Long rows of tiles first.
  parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
    alignas(64) float tile[kTile * kTile];
    for (int64_t i = tiles - end; i < tiles - begin; ++i) {
      const float* left = columns.data() + i * kTile * kBlockRows;
      for (int64_t j = 0; j <= i; ++j) {
        product.run(left, columns.data() + j * kTile * kBlockRows, tile);
        for (int64_t r = i * kTile; r < std::min((i + 1) * kTile, n); ++r) {
          const float* from = tile + (r - i * kTile) * kTile;
          Words* to = sums + triangle(r) + j * kTile;
          const int64_t width = std::min(kTile, r + 1 - j * kTile);
          for (int64_t c = 0; c < width; ++c) add_to(to[c], kMomentSum.from(from[c]));
        }
      }
      for (int64_t c = i * kTile; c < std::min((i + 1) * kTile, n); ++c) {
        double total = 0;
        for (int64_t r = 0; r < count; ++r) total += columns[c * kBlockRows + r];
        add_to(sum[c], kMomentSum.from(total));
      }
    }
  });
  rows_ += static_cast<uint64_t>(count);
}

void SecondMoment::merge(const SecondMoment& other) {
  if (other.empty()) return;
  if (empty()) {
    *this = other;
    return;
  }
  OCTAVO_CHECK(channels_ == other.channels_,
               "second moments of {} channels cannot be merged with those of {}", other.channels_,
               channels_);
  make_own();
  add_all(products_, other.products_);
  add_all(sum_, other.sum_);
  rows_ += other.rows_;
}

bool SecondMoment::operator==(const SecondMoment& other) const {
  if (empty() && other.empty()) return true;
  return channels_ == other.channels_ && rows_ == other.rows_ &&
         same_bytes(products_, other.products_) && same_bytes(sum_, other.sum_);
}

}  // namespace octavo
