#include "quant/row_sample.h"

#include <algorithm>
#include <cstring>

namespace octavo {

bool RowSample::wants(uint64_t hash) const {
  return size() < limit_ || (limit_ > 0 && hash < rows_.rbegin()->first);
}

void RowSample::keep(uint64_t hash, Tensor row) {
  if (!wants(hash)) return;
  rows_.emplace(hash, std::move(row));
  if (size() > limit_) rows_.erase(std::prev(rows_.end()));
}

void RowSample::offer(uint64_t hash, const float* row, int64_t channels) {
  if (!wants(hash)) return;
  Tensor copy = Tensor::empty(DType::f32, {channels});
  std::memcpy(copy.mutable_data(), row, copy.bytes());
  keep(hash, std::move(copy));
}

void RowSample::merge(const RowSample& other) {
  limit_ = std::max(limit_, other.limit_);
  for (const auto& [hash, row] : other.rows_) keep(hash, row);
}

bool RowSample::operator==(const RowSample& other) const {
  return std::equal(rows_.begin(), rows_.end(), other.rows_.begin(), other.rows_.end(),
                    [](const auto& a, const auto& b) {
                      return a.first == b.first && same_bytes(a.second, b.second);
                    });
}

}  // namespace octavo
