#pragma once
// A sample of rows without a seed: of all rows that were offered, the `limit` ones with the
// smallest hashes. Whoever offers them, in whatever order and in however many parts: the same rows.
#include <cstdint>
#include <map>

#include "tensor/tensor.h"

namespace octavo {

class RowSample {
 public:
  RowSample() = default;
  explicit RowSample(int64_t limit) : limit_(limit) {}

  int64_t limit() const { return limit_; }
  int64_t size() const { return static_cast<int64_t>(rows_.size()); }
  // By hash, each f32 [channels].
  const std::map<uint64_t, Tensor>& rows() const { return rows_; }

  bool wants(uint64_t hash) const;
  // Keeps a copy of the row if its hash is among the smallest.
  void offer(uint64_t hash, const float* row, int64_t channels);
  void keep(uint64_t hash, Tensor row);           // as offer(), shares the tensor
  void merge(const RowSample& other);             // the larger limit counts
  bool operator==(const RowSample& other) const;  // of the rows

 private:
  int64_t limit_ = 0;
  std::map<uint64_t, Tensor> rows_;
};

}  // namespace octavo
