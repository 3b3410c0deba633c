#pragma once
// The format table as a constant, so that codecs are compiled from its numbers. Private to this
// floor; others use dtype.h.
#include <array>
#include <cstddef>
#include <limits>

#include "tensor/dtype.h"

namespace octavo {

inline constexpr double kMaxF16 = 65504, kMaxBF16 = 0x1.FEp127, kMaxF32 = 0x1.FFFFFEp127;
inline constexpr double kMaxF64 = std::numeric_limits<double>::max();

// In the order of DType. dtype, name, safetensors, bits, kind, mantissa_bits, bias, max.
inline constexpr std::array kFormatTable = {
    DTypeInfo{DType::f64, "f64", "F64", 64, DTypeKind::floating, 52, 1023, kMaxF64},
    DTypeInfo{DType::f32, "f32", "F32", 32, DTypeKind::floating, 23, 127, kMaxF32},
    DTypeInfo{DType::f16, "f16", "F16", 16, DTypeKind::floating, 10, 15, kMaxF16},
    DTypeInfo{DType::bf16, "bf16", "BF16", 16, DTypeKind::floating, 7, 127, kMaxBF16},
    DTypeInfo{DType::e4m3, "e4m3", "F8_E4M3", 8, DTypeKind::floating, 3, 7, 448},
    DTypeInfo{DType::e5m2, "e5m2", "F8_E5M2", 8, DTypeKind::floating, 2, 15, 57344},
    DTypeInfo{DType::e3m2, "e3m2", nullptr, 6, DTypeKind::floating, 2, 3, 28},
    DTypeInfo{DType::e2m2, "e2m2", nullptr, 5, DTypeKind::floating, 2, 1, 7},
    DTypeInfo{DType::e2m1, "e2m1", nullptr, 4, DTypeKind::floating, 1, 1, 6},
    DTypeInfo{DType::e8m0, "e8m0", "F8_E8M0", 8, DTypeKind::floating, 0, 127, 0x1p127},
    DTypeInfo{DType::i64, "i64", "I64", 64, DTypeKind::integer, 0, 0, 0x1p63},
    DTypeInfo{DType::i32, "i32", "I32", 32, DTypeKind::integer, 0, 0, 0x7fffffff},
    DTypeInfo{DType::i8, "i8", "I8", 8, DTypeKind::integer, 0, 0, 127},
    DTypeInfo{DType::i7, "i7", nullptr, 7, DTypeKind::integer, 0, 0, 63},
    DTypeInfo{DType::i6, "i6", nullptr, 6, DTypeKind::integer, 0, 0, 31},
    DTypeInfo{DType::i5, "i5", nullptr, 5, DTypeKind::integer, 0, 0, 15},
    DTypeInfo{DType::i4, "i4", nullptr, 4, DTypeKind::integer, 0, 0, 7},
    DTypeInfo{DType::i3, "i3", nullptr, 3, DTypeKind::integer, 0, 0, 3},
    DTypeInfo{DType::i2, "i2", nullptr, 2, DTypeKind::integer, 0, 0, 1},
    DTypeInfo{DType::u8, "u8", "U8", 8, DTypeKind::integer, 0, 0, 255},
    DTypeInfo{DType::u7, "u7", nullptr, 7, DTypeKind::integer, 0, 0, 127},
    DTypeInfo{DType::u6, "u6", nullptr, 6, DTypeKind::integer, 0, 0, 63},
    DTypeInfo{DType::u5, "u5", nullptr, 5, DTypeKind::integer, 0, 0, 31},
    DTypeInfo{DType::u4, "u4", nullptr, 4, DTypeKind::integer, 0, 0, 15},
    DTypeInfo{DType::u3, "u3", nullptr, 3, DTypeKind::integer, 0, 0, 7},
    DTypeInfo{DType::u2, "u2", nullptr, 2, DTypeKind::integer, 0, 0, 3},
    DTypeInfo{DType::u1, "u1", nullptr, 1, DTypeKind::integer, 0, 0, 1},
    DTypeInfo{DType::boolean, "bool", "BOOL", 8, DTypeKind::boolean, 0, 0, 1},
};

constexpr const DTypeInfo& format_of(DType d) { return kFormatTable[static_cast<size_t>(d)]; }

constexpr bool table_is_in_enum_order() {
  for (size_t i = 0; i < kFormatTable.size(); ++i) {
    if (kFormatTable[i].dtype != static_cast<DType>(i)) return false;
  }
  return kFormatTable.size() == static_cast<size_t>(DType::boolean) + 1;
}
static_assert(table_is_in_enum_order(), "format_of() indexes the table with the enum's value");

}  // namespace octavo
