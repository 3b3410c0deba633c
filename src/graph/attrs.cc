#include "base/check.h"
#include "graph/op.h"

namespace octavo {
namespace {

const char* name(AttrType type) {
  switch (type) {
    case AttrType::boolean:
      return "true or false";
    case AttrType::integer:
      return "an integer";
    case AttrType::real:
      return "a number";
    case AttrType::text:
      return "a text";
    case AttrType::integers:
      return "a list of integers";
    case AttrType::dims:
      return "a list of dimensions";
    case AttrType::dim:
      return "a dimension";
  }
  OCTAVO_ASSERT(false);
}

bool has_type(const Attr& attr, AttrType type) {
  switch (type) {
    case AttrType::boolean:
      return std::holds_alternative<bool>(attr);
    case AttrType::integer:
      return std::holds_alternative<int64_t>(attr);
    case AttrType::real:
      return std::holds_alternative<double>(attr);
    case AttrType::text:
      return std::holds_alternative<std::string>(attr);
    case AttrType::integers:
      return std::holds_alternative<std::vector<int64_t>>(attr);
    case AttrType::dims:
      return std::holds_alternative<SymShape>(attr);
    case AttrType::dim:
      return std::holds_alternative<Dim>(attr);
  }
  OCTAVO_ASSERT(false);
}

// Lossless conversions to the wanted type; anything else stays as it is.
Attr convert(const Attr& attr, AttrType type) {
  if (const auto* integer = std::get_if<int64_t>(&attr)) {
    if (type == AttrType::real) return static_cast<double>(*integer);
    if (type == AttrType::dim) return Dim(*integer);
  }
  if (const auto* integers = std::get_if<std::vector<int64_t>>(&attr)) {
    if (type == AttrType::dims) return symbolic(*integers);
  }
  if (const auto* dims = std::get_if<SymShape>(&attr)) {
    if (type == AttrType::dim && dims->size() == 1) return dims->front();
  }
  return attr;
}

const AttrInfo* find_attr(const OpInfo& op, std::string_view key) {
  for (const AttrInfo& row : op.attrs) {
    if (key == row.name) return &row;
  }
  return nullptr;
}

}  // namespace

Attrs checked_attrs(const OpInfo& op, const Attrs& attrs) {
  Attrs result;
  for (const auto& [key, attr] : attrs.map()) {
    const AttrInfo* row = find_attr(op, key);
    if (row == nullptr) {
      std::vector<std::string_view> known;
      for (const AttrInfo& a : op.attrs) known.push_back(a.name);
      OCTAVO_FAIL(invalid_argument, "{} has no attribute '{}'; it takes: {}", op.name, key,
                  known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
    }
    Attr converted = convert(attr, row->type);
    OCTAVO_CHECK(has_type(converted, row->type), "{}: attribute '{}' must be {}", op.name, key,
                 name(row->type));
    result.set(key, std::move(converted));
  }
  for (const AttrInfo& row : op.attrs) {
    OCTAVO_CHECK(!row.required || attrs.has(row.name), "{}: attribute '{}' ({}) is missing",
                 op.name, row.name, name(row.type));
  }
  return result;
}

template <class T>
const T& Attrs::get(std::string_view key, const char* type) const {
  const auto at = map_.find(std::string(key));
  OCTAVO_CHECK_CODE(internal, at != map_.end(), "attribute '{}' is absent", key);
  const T* value = std::get_if<T>(&at->second);
  OCTAVO_CHECK_CODE(internal, value != nullptr, "attribute '{}' is not {}", key, type);
  return *value;
}

int64_t Attrs::get_int(std::string_view key) const {
  const auto at = map_.find(std::string(key));
  if (at != map_.end()) {
    if (const Dim* dim = std::get_if<Dim>(&at->second)) return dim->value();
  }
  return get<int64_t>(key, "an integer");
}

double Attrs::get_double(std::string_view key) const { return get<double>(key, "a number"); }
bool Attrs::get_bool(std::string_view key) const { return get<bool>(key, "true or false"); }
const std::string& Attrs::get_string(std::string_view key) const {
  return get<std::string>(key, "a text");
}
const std::vector<int64_t>& Attrs::get_ints(std::string_view key) const {
  return get<std::vector<int64_t>>(key, "a list of integers");
}
const SymShape& Attrs::get_dims(std::string_view key) const {
  return get<SymShape>(key, "a list of dimensions");
}
const Dim& Attrs::get_dim(std::string_view key) const { return get<Dim>(key, "a dimension"); }

std::string Attrs::get_string_or(std::string_view key, std::string_view fallback) const {
  return has(key) ? get_string(key) : std::string(fallback);
}
bool Attrs::get_bool_or(std::string_view key, bool fallback) const {
  return has(key) ? get_bool(key) : fallback;
}

Attrs Attrs::substitute(const Bindings& bindings) const {
  Attrs result = *this;
  for (auto& [key, attr] : result.map_) {
    if (auto* dim = std::get_if<Dim>(&attr)) *dim = dim->substitute(bindings);
    if (auto* dims = std::get_if<SymShape>(&attr)) {
      for (Dim& dim : *dims) dim = dim.substitute(bindings);
    }
  }
  return result;
}

}  // namespace octavo
