// The packing of formats of fewer than 8 bits: a little-endian bit stream, so that 8 codes are
// exactly `bits` bytes.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "tensor/codec.h"

namespace octavo {
namespace {

void pack_8(int bits, const uint8_t* codes, uint8_t* bytes, int byte_count) {
  const uint64_t mask = (1u << bits) - 1;
  uint64_t word = 0;
  for (int i = 0; i < 8; ++i) word |= (codes[i] & mask) << (i * bits);
  for (int i = 0; i < byte_count; ++i) bytes[i] = static_cast<uint8_t>(word >> (8 * i));
}

void unpack_8(int bits, const uint8_t* bytes, int byte_count, uint8_t* codes) {
  uint64_t word = 0;
  for (int i = 0; i < byte_count; ++i) word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  const uint64_t mask = (1u << bits) - 1;
  for (int i = 0; i < 8; ++i) codes[i] = static_cast<uint8_t>(word >> (i * bits) & mask);
}

void check_bits(int bits) {
  OCTAVO_CHECK(bits >= 1 && bits <= 8, "packing of codes of {} bits; expected 1 to 8", bits);
}

}  // namespace

void pack_codes(int bits, const uint8_t* src, void* dst, int64_t n) {
  check_bits(bits);
  auto* out = static_cast<uint8_t*>(dst);
  int64_t i = 0;
  if (bits == 4) {
    for (; i + 2 <= n; i += 2) out[i / 2] = static_cast<uint8_t>((src[i] & 15) | src[i + 1] << 4);
    if (i < n) out[i / 2] = src[i] & 15;
    return;
  }
  for (; i + 8 <= n; i += 8) pack_8(bits, src + i, out + i / 8 * bits, bits);
  if (i == n) return;
  uint8_t rest[8] = {};
  std::copy(src + i, src + n, rest);
  pack_8(bits, rest, out + i / 8 * bits, static_cast<int>(((n - i) * bits + 7) / 8));
}

void unpack_codes(int bits, const void* src, uint8_t* dst, int64_t n) {
  check_bits(bits);
  const auto* in = static_cast<const uint8_t*>(src);
  int64_t i = 0;
  if (bits == 4) {
    for (; i + 2 <= n; i += 2) {
      dst[i] = in[i / 2] & 15;
      dst[i + 1] = in[i / 2] >> 4;
    }
    if (i < n) dst[i] = in[i / 2] & 15;
    return;
  }
  for (; i + 8 <= n; i += 8) unpack_8(bits, in + i / 8 * bits, bits, dst + i);
  if (i == n) return;
  uint8_t rest[8];
  unpack_8(bits, in + i / 8 * bits, static_cast<int>(((n - i) * bits + 7) / 8), rest);
  std::copy(rest, rest + (n - i), dst + i);
}

}  // namespace octavo
