#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

struct XXH3_state_s;

namespace octavo {

// Content hash (XXH3, 128 bits): names equal bytes equally across runs and machines. It guards
// against mix-ups, not against an attacker.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  void update(const void* data, size_t bytes);
  void update(std::string_view text) { update(text.data(), text.size()); }
  std::string hex() const;  // 32 hexadecimal digits

 private:
  XXH3_state_s* state_;
};

std::string hash_hex(std::string_view bytes);
uint64_t hash64(std::string_view bytes);  // XXH3, 64 bits

}  // namespace octavo
