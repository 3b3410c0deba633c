#pragma once
// A store seen under other names: each tensor is a run of rows of one source tensor, or several
// such runs one after the other. Private to this floor.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/weights.h"

namespace octavo {

// Rows [begin, end) of axis 0 of a source tensor.
struct SourceRows {
  std::string source;
  int64_t begin, end;
};

class RenamedStore : public WeightStore {
 public:
  using Map = std::map<std::string, std::vector<SourceRows>>;
  // Every SourceRows must lie in its source.
  RenamedStore(std::shared_ptr<const WeightStore> base, Map map)
      : base_(std::move(base)), map_(std::move(map)) {}

  std::vector<std::string> names() const override;
  bool contains(const std::string& name) const override { return map_.count(name) != 0; }
  TensorType type(const std::string& name) const override;
  // A view of the source; a copy where several runs are put together.
  Tensor tensor(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::string where(const std::string& name) const override;

 private:
  const std::vector<SourceRows>& parts(const std::string& name) const;

  std::shared_ptr<const WeightStore> base_;
  Map map_;
};

// All rows of a tensor of the store.
SourceRows whole(const WeightStore& weights, const std::string& name);

}  // namespace octavo
