#pragma once
// Number formats as codecs: value -> code -> value. Rounding is to nearest, ties to even, for every
// format. `encode` saturates finite values and infinities to the largest finite value in formats
// without infinity (quantization never makes NaN of a number); e5m2, f16 and bf16 overflow to
// infinity as IEEE does. NaN becomes the format's NaN; formats without NaN throw Error{not_finite}
// from the bulk functions (encode() itself maps NaN to 0 there). e8m0 has neither zero nor sign:
// 0 and negative values become NaN, values below 2^-127 become 2^-127; a power of two is neither
// odd nor even, so its ties (1.5 x 2^e) go up. All as in ml_dtypes, except for the saturation
// (ml_dtypes makes NaN of e4m3 values beyond 464 and of e8m0 values from 1.5 x 2^127).
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo {

uint32_t encode(DType dtype, float value);  // formats of 32 bits or fewer; integers saturate
float decode(DType dtype, uint32_t code);

// n values <-> packed codes of one row. Packing: little-endian bit stream, element 0 in the lowest
// bits (i4, e2m1: element 0 in the low nibble, as NVFP4 and torchao's uint4 have it).
void encode_row(DType dtype, const float* src, void* dst, int64_t n);
void decode_row(DType dtype, const void* src, float* dst, int64_t n);
// The packing alone: codes one a byte <-> packed bits. bits: 1 to 8; higher bits of src are
// ignored.
void pack_codes(int bits, const uint8_t* src, void* dst, int64_t n);
void unpack_codes(int bits, const void* src, uint8_t* dst, int64_t n);

float to_float(BFloat16 v);
float to_float(Float16 v);
inline float to_float(float v) { return v; }
BFloat16 to_bf16(float v);
Float16 to_f16(float v);

}  // namespace octavo
