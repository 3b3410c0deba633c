#pragma once
#include <optional>
#include <span>
#include <string>

namespace octavo {

// Every environment variable the program reads, in one table (docs and --help print it).
struct EnvVar {
  const char* name;
  const char* type;
  const char* fallback;
  const char* meaning;
};
std::span<const EnvVar> env_table();
// The value, if set and not empty. `name` must be in the table.
std::optional<std::string> env(const char* name);

}  // namespace octavo
