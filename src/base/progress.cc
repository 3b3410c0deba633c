#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/interrupt.h"

namespace octavo {
namespace {

constexpr double kTerminalSeconds = 0.1, kPlainSeconds = 5.0;
constexpr int kBarCells = 24;

std::atomic<bool> enabled{true};
std::atomic<bool> line_open{false};

std::string clock_text(double seconds) {
  int64_t s = std::llround(std::min(std::max(seconds, 0.0), 3.6e8));
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

size_t terminal_columns() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void put(const std::string& text) {
  // A stderr that is closed or full must not end the work that is reported on.
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

}  // namespace

void set_progress_enabled(bool on) { enabled = on; }
bool take_progress_line() { return line_open.exchange(false); }

std::string progress_text(const std::string& label, const std::string& unit, int64_t done,
                          int64_t total, double seconds, bool last) {
  std::string text = fmt::format("{}: {}", label, done);
  if (total > 0) {
    double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    text += fmt::format("/{} {} ({} %)", total, unit, static_cast<int>(100 * share));
  } else {
    text += fmt::format(" {}", unit);
  }
  if (done > 0 && seconds > 0) {
    double rate = static_cast<double>(done) / seconds;
    text += fmt::format(", {:.3g} {}/s", rate, unit);
    if (!last && total > done) {
      text += fmt::format(", {} left", clock_text(static_cast<double>(total - done) / rate));
    }
  }
  if (last) text += fmt::format(", took {}", clock_text(seconds));
  return text;
}

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      start_(Clock::now()),
      drawn_(start_),
      terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  // Left by an exception: its message goes on a line of its own.
  if (!finished_ && terminal_ && take_progress_line()) put("\n");
}

void Progress::step(int64_t n) {
  done_ += n;
  double since = std::chrono::duration<double>(Clock::now() - drawn_).count();
  if (since >= (terminal_ ? kTerminalSeconds : kPlainSeconds)) draw(false);
  check_interrupt();
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  draw(true);
}

void Progress::draw(bool last) {
  if (!enabled) return;
  drawn_ = Clock::now();
  double seconds = std::chrono::duration<double>(drawn_ - start_).count();
  std::string text = progress_text(label_, unit_, done_, total_, seconds, last);
  if (!terminal_) return put(text + "\n");
  if (total_ > 0) {
    double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    int full = static_cast<int>(share * kBarCells);
    text = fmt::format("[{:#<{}}{:.<{}}] {}", "", full, "", kBarCells - full, text);
  }
  text.resize(std::min(text.size(), terminal_columns() - 1));
  line_open = !last;
  put("\r\x1b[K" + text + (last ? "\n" : ""));
}

}  // namespace octavo
