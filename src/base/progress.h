#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace octavo {

// A progress line on stderr: a bar with rate and time left on a terminal, otherwise a plain line
// every few seconds; silent with set_progress_enabled(false). step() also checks for Ctrl-C.
// total < 1: the end is not known, only count and rate are shown. For one thread at a time.
class Progress {
 public:
  Progress(std::string label, int64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void step(int64_t n = 1);
  void finish();

 private:
  void draw(bool last);
  using Clock = std::chrono::steady_clock;
  std::string label_, unit_;
  int64_t total_, done_ = 0;
  Clock::time_point start_, drawn_;
  bool terminal_, finished_ = false;
};

void set_progress_enabled(bool enabled);

// The text of the line without the bar, "encode: 12/64 images (18 %), 3.2 images/s, 0:16 left".
std::string progress_text(const std::string& label, const std::string& unit, int64_t done,
                          int64_t total, double seconds, bool last);

// True once if a bar stands unfinished on the terminal's line (the logger wipes it).
bool take_progress_line();

}  // namespace octavo
