#include "models/renamed_store.h"

#include <cstring>

#include "base/check.h"
#include "base/text.h"

namespace octavo {

SourceRows whole(const WeightStore& weights, const std::string& name) {
  const Shape shape = weights.type(name).shape;
  return {name, 0, shape.empty() ? 0 : shape[0]};
}

std::vector<std::string> RenamedStore::names() const {
  std::vector<std::string> all;
  for (const auto& [name, parts] : map_) all.push_back(name);
  return all;
}

const std::vector<SourceRows>& RenamedStore::parts(const std::string& name) const {
  const auto found = map_.find(name);
  OCTAVO_CHECK_FILE(found != map_.end(),
                    "{}: tensor \"{}\" is missing; the checkpoint has {} others",
                    map_.empty() ? "" : base_->where(map_.begin()->second[0].source),
                    printable(name), map_.size());
  return found->second;
}

TensorType RenamedStore::type(const std::string& name) const {
  const std::vector<SourceRows>& from = parts(name);
  TensorType type = base_->type(from[0].source);
  if (type.shape.empty()) return type;
  type.shape[0] = 0;
  for (const SourceRows& part : from) type.shape[0] += part.end - part.begin;
  return type;
}

Tensor RenamedStore::tensor(const std::string& name) const {
  const std::vector<SourceRows>& from = parts(name);
  const Tensor first = base_->tensor(from[0].source);
  if (first.rank() == 0) return first;
  if (from.size() == 1) return first.rows(from[0].begin, from[0].end);
  const TensorType type = this->type(name);
  Tensor result = Tensor::empty(type.dtype, type.shape);
  auto* out = static_cast<char*>(result.mutable_data());
  for (const SourceRows& part : from) {
    const Tensor rows = base_->tensor(part.source).rows(part.begin, part.end);
    std::memcpy(out, rows.data(), rows.bytes());
    out += rows.bytes();
  }
  return result;
}

void RenamedStore::release(const std::string& name) const {
  for (const SourceRows& part : parts(name)) base_->release(part.source);
}

std::string RenamedStore::where(const std::string& name) const {
  const std::string& source = parts(name)[0].source;
  return source == name ? base_->where(source)
                        : fmt::format("{} (as \"{}\")", base_->where(source), printable(source));
}

}  // namespace octavo
