#pragma once
#include <fmt/format.h>

#include <string_view>

namespace octavo {

enum class LogLevel { quiet, warning, info, debug };
// Default: warning, or OCTAVO_LOG=quiet|warning|info|debug.
void set_log_level(LogLevel level);
LogLevel log_level();
void log_line(LogLevel level, std::string_view text);

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() >= LogLevel::info) log_line(LogLevel::info, fmt::format(format, args...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() >= LogLevel::warning) log_line(LogLevel::warning, fmt::format(format, args...));
}

}  // namespace octavo
