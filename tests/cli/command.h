#pragma once
// Runs the built command line as a user does.
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

#include "support.h"

namespace octavo::test {

struct CommandResult {
  int code = -1;
  std::string output;  // stdout and stderr
};

inline CommandResult shell(const std::string& command) {
  CommandResult result;
  FILE* pipe = popen(("{ " + command + " ; } 2>&1 </dev/null").c_str(), "r");
  std::array<char, 4096> buffer{};
  for (size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    result.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

inline std::string binary() { return OCTAVO_BINARY_DIR "/octavo"; }
inline std::string emoji() { return OCTAVO_SOURCE_DIR "/zoo/emoji"; }
inline CommandResult octavo(const std::string& arguments) {
  return shell(binary() + " -q " + arguments);
}

inline size_t files_in(const std::filesystem::path& folder) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    (void)entry;
    ++count;
  }
  return count;
}

}  // namespace octavo::test
