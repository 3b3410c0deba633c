#pragma once
// Element types. Those of fewer than 8 bits are stored packed, each row (last axis) padded to a
// whole byte; see codec.h for bit orders.
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace octavo {

enum class DType : uint8_t {
  f64,
  f32,
  f16,
  bf16,
  e4m3,  // 8-bit float, no infinity, one NaN a sign: OCP E4M3 = ml_dtypes float8_e4m3fn
  e5m2,  // 8-bit float with infinities: OCP E5M2 = ml_dtypes float8_e5m2
  e3m2,  // 6 bits, finite only: OCP FP6 E3M2 = ml_dtypes float6_e3m2fn
  e2m2,  // 5 bits, finite only (torchao fp5_e2m2): bias 1, max 7
  e2m1,  // 4 bits, finite only: OCP FP4 = ml_dtypes float4_e2m1fn
  e8m0,  // 8-bit power of two, unsigned, 0xff NaN: OCP scale = ml_dtypes float8_e8m0fnu
  i64,
  i32,
  i8,
  i7,
  i6,
  i5,
  i4,
  i3,
  i2,
  u8,
  u7,
  u6,
  u5,
  u4,
  u3,
  u2,
  u1,
  boolean,
};

enum class DTypeKind : uint8_t { floating, integer, boolean };

struct DTypeInfo {
  DType dtype;
  const char* name;         // text form: "e4m3", "i8", ...
  const char* safetensors;  // header name, or nullptr where only packed storage ("U8") exists
  int bits;
  DTypeKind kind;
  int mantissa_bits;  // explicit ones; floats only
  int bias;           // exponent bias; floats only
  double max;         // largest finite value
};

std::span<const DTypeInfo> dtype_table();
const DTypeInfo& info(DType dtype);
std::string_view name(DType dtype);
std::optional<DType> find_dtype(std::string_view name);
std::optional<DType> find_safetensors_dtype(std::string_view name);

// The smallest finite value: -max of floats, -max - 1 or 0 of integers.
double lowest(DType dtype);
inline bool is_float(DType d) { return info(d).kind == DTypeKind::floating; }
// Bytes of one row of `n` elements, packed and padded to a byte.
inline int64_t row_bytes(DType d, int64_t n) { return (n * info(d).bits + 7) / 8; }

// IEEE-like 16-bit types as distinct C++ types, so that templates can tell them apart.
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

}  // namespace octavo
