#pragma once
// E[x x^T] of rows x of a layer's input: what an error in the weights costs in its output. Sums are
// exact (fixed.h), so merging gives the same bits in any order.
#include <cstdint>
#include <vector>

#include "quant/fixed.h"
#include "tensor/tensor.h"

namespace octavo {

class SecondMoment {
 public:
  // Rows that are added together: one f32 product each.
  static constexpr int64_t kBlockRows = 512;

  SecondMoment() = default;
  SecondMoment(const SecondMoment& other);
  SecondMoment(SecondMoment&&) = default;
  SecondMoment& operator=(SecondMoment other);
  explicit SecondMoment(int64_t channels);
  // From a file, views of it: products I64 [2, triangle(n)], sum I64 [2, n]: low words, then high
  // ones.
  SecondMoment(Tensor products, Tensor sum, uint64_t rows);

  bool empty() const { return rows_ == 0; }
  int64_t channels() const { return channels_; }
  uint64_t rows() const { return rows_; }
  std::vector<double> matrix() const;  // E[x x^T], [channels, channels], symmetric
  std::vector<double> mean() const;    // E[x] of the same rows, [channels]

  // Adds [count, channels] of finite values below 2^24, count <= kBlockRows: an f32 product,
  // rounded to the unit. The same bits on any number of threads.
  void add(const float* rows, int64_t count);
  void merge(const SecondMoment& other);
  bool operator==(const SecondMoment& other) const;

  // Row by row of the lower triangle, and the channels' sums. Those of several files are added up
  // here, each time: a merge of files needs memory for one layer.
  Tensor products() const { return total(&Part::products); }
  Tensor sum() const { return total(&Part::sum); }
  static int64_t triangle(int64_t channels) { return channels * (channels + 1) / 2; }
  static size_t bytes(int64_t channels);

 private:
  struct Part {
    Tensor products, sum;
  };
  Tensor total(Tensor Part::*member) const;
  Part& own();  // all in one part that may be written

  int64_t channels_ = 0;
  uint64_t rows_ = 0;
  std::vector<Part> parts_;
  bool own_ = false;  // one part, not in a file
};

}  // namespace octavo
