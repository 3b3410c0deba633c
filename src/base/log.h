#pragma once
#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace octavo {

enum class LogLevel { quiet, warning, info, debug };
// Default: warning, or OCTAVO_LOG=quiet|warning|info|debug.
void set_log_level(LogLevel level);
LogLevel log_level();
// Writes one line on stderr, whatever the level: callers go through the functions below.
void log_line(LogLevel level, std::string_view text);

template <class... Args>
void log_at(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() >= level) log_line(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_at<Args...>(LogLevel::debug, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_at<Args...>(LogLevel::info, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_at<Args...>(LogLevel::warning, format, std::forward<Args>(args)...);
}

}  // namespace octavo
