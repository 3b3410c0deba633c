#include "quant/second_moment.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/threads.h"
#include "kernels/cpu/fast/matmul.h"
#include "quant/stats_loops.h"

namespace octavo {
namespace {

constexpr int64_t kTile = 64;  // channels; extents of products are multiples of it
constexpr int64_t kWidth = 4 * kTile;

// Of a sum: low words of all entries, then the high ones.
struct Words {
  uint64_t* low;
  int64_t* high;
};

Words words_of(Tensor& sums) {
  int64_t* data = static_cast<int64_t*>(sums.mutable_data());
  return {reinterpret_cast<uint64_t*>(data), data + sums.dim(1)};
}

Int128 entry(const Tensor& sums, int64_t i) {
  const int64_t* data = sums.as<int64_t>();
  const auto high = static_cast<unsigned __int128>(static_cast<uint64_t>(data[sums.dim(1) + i]));
  return static_cast<Int128>(high << 64 | static_cast<uint64_t>(data[i]));
}

// High words; wraps around.
int64_t add_high(int64_t a, int64_t b, bool carry) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b) +
                              (carry ? 1 : 0));
}

void add_to(Words sums, int64_t i, Int128 value) {
  const auto low = static_cast<uint64_t>(value);
  sums.low[i] += low;
  const auto high = static_cast<int64_t>(value >> 64);
  sums.high[i] = add_high(sums.high[i], high, sums.low[i] < low);
}

Tensor zero_sums(int64_t count) { return Tensor::zeros(DType::i64, {2, count}); }

void add_all(Tensor& sums, const Tensor& other) {
  const Words to = words_of(sums);
  const int64_t n = sums.dim(1);
  const auto* low = reinterpret_cast<const uint64_t*>(other.as<int64_t>());
  const int64_t* high = other.as<int64_t>() + n;
  constexpr int64_t kGrain = 1 << 16;
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    int64_t wrapped = 0;  // negative: a sum has another sign than both its parts
    for (int64_t i = begin; i < end; ++i) {
      to.low[i] += low[i];
      const int64_t sum = add_high(to.high[i], high[i], to.low[i] < low[i]);
      wrapped |= (to.high[i] ^ sum) & (high[i] ^ sum);
      to.high[i] = sum;
    }
    OCTAVO_CHECK(wrapped >= 0,
                 "second moments exceed 128 bits when they are added up: one of the statistics is "
                 "damaged; calibrate again");
  });
}

// Transposed, and padded with zeros to `depth` rows and whole tiles of channels.
std::vector<float> transposed(const float* rows, int64_t count, int64_t channels, int64_t depth) {
  const int64_t tiles = (channels + kTile - 1) / kTile;
  std::vector<float> result(static_cast<size_t>(tiles * kTile * depth));
  parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin * kTile; c < std::min(end * kTile, channels); ++c) {
      for (int64_t r = 0; r < count; ++r) result[c * depth + r] = rows[r * channels + c];
    }
  });
  return result;
}

// Rows as they are and transposed, both padded with zeros to `depth` rows; transposed to whole
// tiles of channels, too.
struct Block {
  int64_t channels, depth;
  std::vector<float> rows, columns;
};

// Adds rows [i * kTile, (i + 1) * kTile) of the lower triangle of columns * rows.
void add_tiles(const Block& block, int64_t i, Words sums) {
  alignas(64) float product[kTile * kWidth];
  const int64_t last = std::min((i + 1) * kTile, block.channels);
  for (int64_t j = 0; j < last; j += kWidth) {
    const int64_t width = std::min(kWidth, last - j);
    cpu::Matmul::get({.m = kTile,
                      .n = width,
                      .k = block.depth,
                      .lda = block.depth,
                      .ldc = width,
                      .ldb_k = block.channels,
                      .ldb_n = 1})
        .run(block.columns.data() + i * kTile * block.depth, block.rows.data() + j, product);
    for (int64_t r = i * kTile; r < last; ++r) {
      const int64_t at = SecondMoment::triangle(r) + j;
      add_moments(product + (r - i * kTile) * width, std::min(width, r + 1 - j), sums.low + at,
                  sums.high + at);
    }
  }
}

}  // namespace

SecondMoment::SecondMoment(int64_t channels)
    : channels_(channels),
      parts_{{zero_sums(triangle(channels)), zero_sums(channels)}},
      own_(true) {}

SecondMoment::SecondMoment(Tensor products, Tensor sum, uint64_t rows)
    : channels_(sum.dim(1)), rows_(rows), parts_{{std::move(products), std::move(sum)}} {
  OCTAVO_ASSERT(parts_[0].products.dim(1) == triangle(channels_));
}

SecondMoment::SecondMoment(const SecondMoment& other)
    : channels_(other.channels_), rows_(other.rows_), parts_(other.parts_), own_(other.own_) {
  if (own_) parts_ = {{parts_[0].products.clone(), parts_[0].sum.clone()}};
}

SecondMoment& SecondMoment::operator=(SecondMoment other) {
  channels_ = other.channels_;
  rows_ = other.rows_;
  parts_ = std::move(other.parts_);
  own_ = other.own_;
  return *this;
}

Tensor SecondMoment::total(Tensor Part::*member) const {
  OCTAVO_ASSERT(!parts_.empty());
  if (parts_.size() == 1) return parts_[0].*member;
  Tensor sum = (parts_[0].*member).clone();
  for (size_t i = 1; i < parts_.size(); ++i) add_all(sum, parts_[i].*member);
  return sum;
}

SecondMoment::Part& SecondMoment::own() {
  if (!own_ && parts_.size() == 1) parts_ = {{parts_[0].products.clone(), parts_[0].sum.clone()}};
  if (!own_ && parts_.size() > 1) parts_ = {{products(), sum()}};
  own_ = true;
  return parts_[0];
}

size_t SecondMoment::bytes(int64_t channels) {
  return static_cast<size_t>(triangle(channels) + channels) * 2 * sizeof(int64_t);
}

std::vector<double> SecondMoment::matrix() const {
  OCTAVO_ASSERT(rows_ > 0);
  const int64_t n = channels_;
  const Tensor sums = products();
  std::vector<double> matrix(static_cast<size_t>(n * n));
  for (int64_t i = 0, at = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j, ++at) {
      const double mean = kMomentSum.value(entry(sums, at)) / static_cast<double>(rows_);
      matrix[i * n + j] = matrix[j * n + i] = mean;
    }
  }
  return matrix;
}

std::vector<double> SecondMoment::mean() const {
  OCTAVO_ASSERT(rows_ > 0);
  const Tensor sums = sum();
  std::vector<double> mean(static_cast<size_t>(channels_));
  for (int64_t i = 0; i < channels_; ++i) {
    mean[i] = kMomentSum.value(entry(sums, i)) / static_cast<double>(rows_);
  }
  return mean;
}

void SecondMoment::add(const float* rows, int64_t count) {
  OCTAVO_ASSERT(count >= 0 && count <= kBlockRows);
  if (count == 0) return;
  Part& part = own();
  const int64_t n = channels_, tiles = (n + kTile - 1) / kTile;
  const int64_t depth = (count + kTile - 1) / kTile * kTile;
  Block block{n, depth, std::vector<float>(rows, rows + count * n),
              transposed(rows, count, n, depth)};
  block.rows.resize(static_cast<size_t>(depth * n));
  const Words products = words_of(part.products), sums = words_of(part.sum);
  parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = tiles - end; i < tiles - begin; ++i) {  // the longest first
      add_tiles(block, i, products);
      for (int64_t c = i * kTile; c < std::min((i + 1) * kTile, n); ++c) {
        const float* column = block.columns.data() + c * depth;
        add_to(sums, c, kMomentSum.from(std::accumulate(column, column + count, 0.0)));
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
  if (own_ || other.own_) {
    Part& part = own();
    add_all(part.products, other.products());
    add_all(part.sum, other.sum());
  } else {
    parts_.insert(parts_.end(), other.parts_.begin(), other.parts_.end());
  }
  rows_ += other.rows_;
}

bool SecondMoment::operator==(const SecondMoment& other) const {
  if (empty() && other.empty()) return true;
  return channels_ == other.channels_ && rows_ == other.rows_ &&
         same_bytes(products(), other.products()) && same_bytes(sum(), other.sum());
}

}  // namespace octavo
