#include "base/log.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <string>

#include "base/check.h"
#include "base/env.h"
#include "base/progress.h"

namespace octavo {
namespace {

constexpr std::array<const char*, 4> kNames{"quiet", "warning", "info", "debug"};

LogLevel level_from_environment() {
  std::optional<std::string> text = env("OCTAVO_LOG");
  if (!text) return LogLevel::warning;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (*text == kNames[i]) return static_cast<LogLevel>(i);
  }
  OCTAVO_FAIL(invalid_argument, "OCTAVO_LOG is \"{}\"; expected quiet, warning, info or debug",
              *text);
}

std::atomic<LogLevel>& current_level() {
  static std::atomic<LogLevel> level = level_from_environment();
  return level;
}

}  // namespace

void set_log_level(LogLevel level) { current_level() = level; }
LogLevel log_level() { return current_level(); }

void log_line(LogLevel level, std::string_view text) {
  // A progress bar that stands on this line is wiped; its next step draws it anew.
  std::string line = fmt::format("{}octavo: {}: {}\n", take_progress_line() ? "\r\x1b[K" : "",
                                 kNames[static_cast<size_t>(level)], text);
  // One write, so that lines of several threads do not mix.
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // nowhere left to say it
}

}  // namespace octavo
