#include "tensor/dtype.h"

#include "base/check.h"
#include "tensor/format_table.h"

namespace octavo {

std::span<const DTypeInfo> dtype_table() { return kFormatTable; }

const DTypeInfo& info(DType dtype) {
  OCTAVO_ASSERT(static_cast<size_t>(dtype) < kFormatTable.size());
  return format_of(dtype);
}

double lowest(DType dtype) {
  const DTypeInfo& row = info(dtype);
  if (row.kind == DTypeKind::floating) return -row.max;
  const bool is_signed = row.name[0] == 'i';
  return is_signed ? -row.max - 1 : 0;
}

std::string_view name(DType dtype) { return info(dtype).name; }

std::optional<DType> find_dtype(std::string_view text) {
  for (const DTypeInfo& row : kFormatTable) {
    if (text == row.name) return row.dtype;
  }
  return std::nullopt;
}

std::optional<DType> find_safetensors_dtype(std::string_view text) {
  for (const DTypeInfo& row : kFormatTable) {
    if (row.safetensors != nullptr && text == row.safetensors) return row.dtype;
  }
  return std::nullopt;
}

}  // namespace octavo
