#include "base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <new>

namespace octavo {
namespace {

std::string to_hex(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace

Hasher::Hasher() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  XXH3_128bits_reset(state_);
}

Hasher::~Hasher() { XXH3_freeState(state_); }

void Hasher::update(const void* data, size_t bytes) {
  if (bytes != 0) XXH3_128bits_update(state_, data, bytes);
}

std::string Hasher::hex() const { return to_hex(XXH3_128bits_digest(state_)); }

std::string hash_hex(std::string_view bytes) {
  return to_hex(XXH3_128bits(bytes.data(), bytes.size()));
}

uint64_t hash64(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace octavo
